"""A stand-in for CUDA graphs on a CPU: what a step does is recorded once, and repeated without Python."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """Records PyTorch's operations with the tensors that they take and give."""

    def __init__(self):
        super().__init__()
        self._calls, self._made, self._before = [], set(), {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, schema = str(function), function._schema
        # Numbers that go to the host, or come from a list there; a single one comes with the kernel.
        if (
            'local_scalar_dense' in name
            or 'nonzero' in name
            or ('lift_fresh' in name and args[0].dim())
        ):
            raise RuntimeError(f'operation not permitted when stream is capturing: {name}')
        writes = any(arg.alias_info and arg.alias_info.is_write for arg in schema.arguments)
        if writes:
            for tensor in _tensors((args, kwargs)):
                if _storage(tensor) not in self._made:
                    self._before.setdefault(id(tensor), (tensor, tensor.detach().clone()))
        result = function(*args, **kwargs)
        self._made.update(_storage(tensor) for tensor in _tensors(result))
        views = any(arg.alias_info and not arg.alias_info.is_write for arg in schema.arguments)
        if not views:
            self._calls.append((function, args, kwargs, result))
        return result

    def undo(self):
        """Undo what has been written outside: who captures, executes nothing."""
        for tensor, value in self._before.values():
            tensor.detach().copy_(value)

    @torch.no_grad()
    def replay(self):
        """Repeat the operations; their results go to where they were."""
        for function, args, kwargs, result in self._calls:
            for old, new in zip(_tensors(result), _tensors(function(*args, **kwargs))):
                if _storage(old) != _storage(new):
                    old.detach().copy_(new)


class TapeGraphs:
    """What ``make_cuda_graph`` does; ``replays`` are counts of the graphs, in order."""

    def __init__(self):
        self.replays = []

    def __call__(self, warm_up, step):
        """Capture a step."""
        for _ in range(3):
            warm_up()
        tape = Tape()
        with tape:
            results = step()
        tape.undo()
        number = len(self.replays)
        self.replays.append(0)

        def replay():
            # No step runs what is no longer captured.
            assert number == len(self.replays) - 1
            self.replays[number] += 1
            tape.replay()
            return results

        return replay


def _tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _storage(tensor):
    return tensor.untyped_storage().data_ptr()

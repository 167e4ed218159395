"""Train on CIFAR-100 by a loop of plain torch, captured as a CUDA graph: the limit of a card, and teachers.

Nothing of MM software runs in it; the networks carry MMPretrain's tensor names, so that what it trains can
be a teacher here (../../weights). The images stay on the card, crop and flip are drawn for a whole batch, and
forward, loss, backward, clipping and SGD are one replayed graph.

    python tools/gpu/captured_loop.py teacher --net 56 --epochs 50 --out resnet56.pth
    python tools/gpu/captured_loop.py speed --net 20 --teacher-net 110    # ms a step, captured and not
    python tools/gpu/captured_loop.py side-by-side --net 20    # a step of 1, 4 and 8 trainings at once

Without a GPU everything runs uncaptured; --limit takes the first images only.
"""

import argparse
import hashlib
import json
import math
import pickle
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

CUDA = torch.cuda.is_available()
DEVICE = 'cuda' if CUDA else 'cpu'
VIEWS = 162  # crops after a padding of 4 (9 x 9), each as it is and mirrored
# What captures and launches takes turns: a thread must not launch into another's capture.
TURN = threading.RLock()


class Block(nn.Module):
    """A basic block, with a 1x1 convolution beside it where the channels change."""

    def __init__(self, in_channels, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        """Features of the same size, or half of it with a stride of 2."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """ResNet-8, 14, 20, 32, 56 or 110 for CIFAR, with the tensor names of CIFARResNet and LinearClsHead."""

    def __init__(self, depth):
        super().__init__()
        self.backbone, self.head = nn.Module(), nn.Module()
        self.backbone.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.backbone.bn1 = nn.BatchNorm2d(16)
        channels = 16
        for stage in range(3):
            blocks = []
            for index in range((depth - 2) // 6):
                blocks.append(Block(channels, 16 * 2**stage, 2 if stage and not index else 1))
                channels = 16 * 2**stage
            setattr(self.backbone, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.head.fc = nn.Linear(64, 100)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x):
        """Class scores, [B, 100]."""
        body = self.backbone
        x = F.relu(body.bn1(body.conv1(x)))
        x = body.layer3(body.layer2(body.layer1(x))).float().mean((2, 3))
        with torch.autocast(x.device.type, enabled=False):
            return self.head.fc(x)


class Images:
    """CIFAR-100 on the device: padded bytes, cropped and mirrored by the number of a view."""

    def __init__(self, root, limit):
        def read(split):
            with open(Path(root, 'cifar-100-python', split), 'rb') as file:
                raw = pickle.load(file, encoding='latin1')
            images = torch.as_tensor(raw['data']).reshape(-1, 3, 32, 32)[:limit]
            return images.to(DEVICE), torch.tensor(raw['fine_labels'])[:limit].to(DEVICE)

        images, self.labels = read('train')
        self.padded = F.pad(images, (4, 4, 4, 4))
        self.test, self.test_labels = read('test')
        self.mean = torch.tensor((129.304, 124.070, 112.434), device=DEVICE).view(1, 3, 1, 1)
        self.std = torch.tensor((68.170, 65.392, 70.418), device=DEVICE).view(1, 3, 1, 1)
        self.span = torch.arange(32, device=DEVICE)
        self.channels = torch.arange(3, device=DEVICE).view(1, 3, 1, 1)

    def batch(self, index, view):
        """Images ``index`` in the views (dy * 9 + dx) * 2 + mirrored, normalised."""
        dy, dx, mirrored = view // 18, view // 2 % 9, view % 2
        columns = torch.where(mirrored[:, None] > 0, 31 - self.span, self.span) + dx[:, None]
        rows = self.span + dy[:, None]
        return self.normal(
            self.padded[
                index.view(-1, 1, 1, 1),
                self.channels,
                rows[:, None, :, None],
                columns[:, None, None, :],
            ]
        )

    def normal(self, images):
        """Normalise bytes, [B, 3, 32, 32]."""
        images = (images.float() - self.mean) / self.std
        return images.contiguous(memory_format=torch.channels_last)


def mixed():
    # The graph would replay a cached cast with the weights of the capture.
    return torch.autocast('cuda', torch.bfloat16, cache_enabled=False) if CUDA else nullcontext()


def dkd(student, teacher, labels, alpha=1.0, beta=2.0, tau=4.0):
    """Decoupled knowledge distillation (Zhao et al. 2022)."""
    own = F.one_hot(labels, student.shape[1]).bool()
    student, teacher = student / tau, teacher / tau
    a, b = ((scores.softmax(1) * own).sum(1) for scores in (student, teacher))
    target = F.kl_div(
        torch.stack([a, 1 - a], 1).clamp_min(1e-8).log(),
        torch.stack([b, 1 - b], 1),
        reduction='batchmean',
    )
    others = F.kl_div(
        (student - 1000.0 * own).log_softmax(1),
        (teacher - 1000.0 * own).softmax(1),
        reduction='batchmean',
    )
    return (alpha * target + beta * others) * tau**2


class Step:
    """Forward, loss, backward, clipping and SGD, captured where there is a GPU."""

    def __init__(self, net, loss, batch_size, captured=CUDA):
        self.rate = torch.zeros((), device=DEVICE)
        self.inputs = [torch.zeros(batch_size, dtype=torch.long, device=DEVICE) for _ in range(2)]
        params = list(net.parameters())
        momenta = [torch.zeros_like(param) for param in params]

        def run(update=True):
            for param in params:
                param.grad = None
            loss(*self.inputs).backward()
            grads = [param.grad for param in params]
            nn.utils.clip_grad_norm_(params, 5.0)
            if update:
                with torch.no_grad():
                    torch._foreach_add_(grads, params, alpha=5e-4)
                    torch._foreach_mul_(momenta, 0.9)
                    torch._foreach_add_(momenta, grads)
                    torch._foreach_sub_(params, torch._foreach_mul(momenta, self.rate))

        # A graph reads what this one reads, and does not keep it alive.
        self.run = self.replay = run
        if captured:
            with TURN:
                self._capture(net, run)

    def _capture(self, net, run):
        kept = [buffer.clone() for buffer in net.buffers()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                run(update=False)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            run()
        with torch.no_grad():
            # The warm-up has moved the statistics of BatchNorm.
            for buffer, value in zip(net.buffers(), kept):
                buffer.copy_(value)
        self.replay = graph.replay

    def __call__(self, rate, *inputs):
        """Take a step with a learning rate, on indices and views of images, [B]."""
        with TURN:
            self.rate.fill_(rate)
            for own, given in zip(self.inputs, inputs):
                own.copy_(given)
            self.replay()


def to_device(net):
    return net.to(DEVICE, memory_format=torch.channels_last).train()


def accuracy(net, images):
    """Top-1 on the test images, in per cent."""
    net.eval()
    right = 0
    with torch.no_grad(), mixed():
        for batch, labels in zip(images.test.split(2000), images.test_labels.split(2000)):
            right += int((net(images.normal(batch)).argmax(1) == labels).sum())
    net.train()
    return round(100 * right / len(images.test_labels), 2)


def plain_loss(net, images):
    def loss(index, view):
        with mixed():
            scores = net(images.batch(index, view))
        return F.cross_entropy(scores, images.labels[index])

    return loss


def train_teacher(args, images):
    torch.manual_seed(args.seed)
    net = to_device(ResNet(args.net))
    step = Step(net, plain_loss(net, images), args.batch_size)
    generator = torch.Generator(DEVICE).manual_seed(args.seed)
    count = len(images.labels)
    steps, done = round(args.epochs * count / args.batch_size), 0
    while done < steps:
        order = torch.randperm(count, device=DEVICE, generator=generator)
        views = torch.randint(VIEWS, (count,), device=DEVICE, generator=generator)
        for begin in range(0, count - args.batch_size + 1, args.batch_size):
            if done == steps:
                break
            part, share = slice(begin, begin + args.batch_size), done / steps
            rate = min(1, share / 0.05) * 0.5 * (1 + math.cos(math.pi * share))
            step(args.lr * rate, order[part], views[part])
            done += 1
    top1 = accuracy(net, images)
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in net.cpu().state_dict().items()
    }
    torch.save(dict(state_dict=state, meta=dict(accuracy=top1, epochs=args.epochs)), args.out)
    digest = hashlib.sha256(Path(args.out).read_bytes()).hexdigest()
    tell(args, net=args.net, epochs=args.epochs, top1=top1, file=args.out, sha256=digest)


def milliseconds(step, images, batch_size, count):
    for _ in range(2):  # the second time counts
        synchronize()
        begin = time.perf_counter()
        for _ in range(count):
            index = torch.randint(len(images.labels), (batch_size,), device=DEVICE)
            step(0.01, index, index % VIEWS)
        synchronize()
    return round((time.perf_counter() - begin) / count * 1000, 3)


def measure_speed(args, images):
    teacher = to_device(ResNet(args.teacher_net)).eval().requires_grad_(False)
    answers = torch.zeros(len(images.labels), VIEWS, 100, dtype=torch.float16, device=DEVICE)

    def with_teacher(net, kept):
        def loss(index, view):
            batch, labels = images.batch(index, view), images.labels[index]
            with mixed(), torch.no_grad():
                known = answers[index, view].float() if kept else teacher(batch)
            with mixed():
                scores = net(batch)
            return F.cross_entropy(scores, labels) + dkd(scores, known, labels)

        return loss

    losses = {
        'student alone': plain_loss,
        'teacher in the step': lambda net, _: with_teacher(net, False),
        'kept answers': lambda net, _: with_teacher(net, True),
    }
    for name, make in losses.items():
        for captured in (True, False) if CUDA else (False,):
            net = to_device(ResNet(args.net))
            step = Step(net, make(net, images), args.batch_size, captured)
            found = milliseconds(step, images, args.batch_size, 200 if CUDA else 2)
            tell(args, what=name, captured=captured, net=args.net, milliseconds=found)


def measure_side_by_side(args, images):
    count = 400 if CUDA else 2
    for many in (1, 4, 8):
        ready = threading.Barrier(many + 1)

        def work(ready=ready):
            with torch.cuda.stream(torch.cuda.Stream()) if CUDA else nullcontext():
                net = to_device(ResNet(args.net))
                step = Step(net, plain_loss(net, images), args.batch_size)
                ready.wait()
                for _ in range(count):
                    index = torch.randint(len(images.labels), (args.batch_size,), device=DEVICE)
                    step(0.01, index, index % VIEWS)
                if CUDA:
                    torch.cuda.current_stream().synchronize()

        threads = [threading.Thread(target=work) for _ in range(many)]
        for thread in threads:
            thread.start()
        ready.wait()
        begin = time.perf_counter()
        for thread in threads:
            thread.join()
        each = (time.perf_counter() - begin) / count / many * 1000
        tell(args, net=args.net, side_by_side=many, milliseconds_a_step_of_all=round(each, 3))


def synchronize():
    if CUDA:
        torch.cuda.synchronize()


def tell(args, **facts):
    device = torch.cuda.get_device_name() if CUDA else 'CPU'
    print(
        json.dumps(dict(job=args.job, batch_size=args.batch_size, **facts, device=device)),
        flush=True,
    )


JOBS = {'teacher': train_teacher, 'speed': measure_speed, 'side-by-side': measure_side_by_side}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('job', choices=JOBS)
    parser.add_argument('--data-root', default='data/cifar100', help='holds cifar-100-python/')
    parser.add_argument('--net', type=int, default=20, help='depth of the network')
    parser.add_argument('--teacher-net', type=int, default=110, help='depth of the teacher')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--epochs', type=float, default=60)
    parser.add_argument('--lr', type=float, default=0.05)
    parser.add_argument('--seed', type=int, default=7)
    parser.add_argument('--limit', type=int, help='take so many images only')
    parser.add_argument('--out', default='teacher.pth', help='file of the teacher')
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    JOBS[args.job](args, Images(args.data_root, args.limit))


if __name__ == '__main__':
    main()

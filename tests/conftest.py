import torch

# The networks of the tests are too small to gain from threads, and data loaders' workers want a core too.
torch.set_num_threads(1)

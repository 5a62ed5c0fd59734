"""What all tests share: one thread, small datasets, no way to reach the network by accident."""

import torch

torch.set_num_threads(1)

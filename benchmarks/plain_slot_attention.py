"""Slot attention written from the paper, as users write it: float32, eager, NCHW.

Locatello et al. 2020, arXiv 2006.15055: Algorithm 1 and Appendix E. It imports nothing of
slotbench, and stands beside the preset ``paper`` in benchmarks/published.py. Parameters are made
in the order in which slotbench makes them, so that weights can be copied one by one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def coordinates(resolution: tuple[int, int]) -> Tensor:
    ranges = [torch.linspace(0, 1, n) for n in resolution]
    grid = torch.stack(torch.meshgrid(*ranges, indexing="ij"), dim=-1)
    return torch.cat([grid, 1 - grid], dim=-1)


class SoftPositionEmbed(nn.Module):
    def __init__(self, hidden: int, resolution: tuple[int, int]) -> None:
        super().__init__()
        self.dense = nn.Linear(4, hidden)
        self.register_buffer("grid", coordinates(resolution))

    grid: Tensor

    def forward(self, inputs: Tensor) -> Tensor:  # (B, H, W, C)
        return inputs + self.dense(self.grid)  # type: ignore[no-any-return]


class SlotAttention(nn.Module):
    def __init__(
        self, num_slots: int, dim: int, iterations: int = 3, hidden: int = 128, inputs: int = 64
    ) -> None:
        super().__init__()
        self.num_slots, self.iterations, self.eps = num_slots, iterations, 1e-8
        self.scale = dim**-0.5
        self.norm_input = nn.LayerNorm(inputs)
        self.norm_slots = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(inputs, dim, bias=False)
        self.to_v = nn.Linear(inputs, dim, bias=False)
        self.gru = nn.GRUCell(dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.mu = nn.Parameter(torch.randn(1, dim))
        self.log_sigma = nn.Parameter(torch.zeros(1, dim))

    def forward(self, inputs: Tensor, noise: Tensor | None = None) -> Tensor:
        b, _, d = inputs.shape
        if noise is None:
            noise = torch.randn(b, self.num_slots, d, device=inputs.device)
        slots = self.mu + self.log_sigma.exp() * noise
        inputs = self.norm_input(inputs)
        k, v = self.to_k(inputs), self.to_v(inputs)
        for _ in range(self.iterations):
            previous = slots
            q = self.to_q(self.norm_slots(slots))
            dots = torch.einsum("bid,bjd->bij", q, k) * self.scale
            attn = dots.softmax(dim=1) + self.eps
            attn = attn / attn.sum(dim=-1, keepdim=True)
            updates = torch.einsum("bjd,bij->bid", v, attn)
            slots = self.gru(updates.reshape(-1, d), previous.reshape(-1, d)).reshape(b, -1, d)
            slots = slots + self.fc2(functional.relu(self.fc1(self.norm_mlp(slots))))
        return slots


class SlotAttentionAutoEncoder(nn.Module):
    """Images (B, 3, H, W) -> the mixed image, each slot's image, masks and slots."""

    def __init__(
        self,
        resolution: tuple[int, int] = (128, 128),
        num_slots: int = 7,
        hidden: int = 64,
        slot_dim: int = 64,
    ) -> None:
        super().__init__()
        self.num_slots, self.start = num_slots, (8, 8)
        self.encoder = nn.Sequential(
            nn.Conv2d(3, hidden, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 5, padding=2),
            nn.ReLU(),
        )
        self.encoder_pos = SoftPositionEmbed(hidden, resolution)
        self.norm = nn.LayerNorm(hidden)
        self.fc1 = nn.Linear(hidden, hidden)
        self.fc2 = nn.Linear(hidden, slot_dim)
        self.slot_attention = SlotAttention(num_slots, slot_dim, inputs=hidden)
        self.decoder_pos = SoftPositionEmbed(slot_dim, self.start)
        layers: list[nn.Module] = []
        size, inputs = 8, slot_dim
        while size < resolution[0]:
            layers += [nn.ConvTranspose2d(inputs, hidden, 5, 2, 2, 1), nn.ReLU()]
            size, inputs = size * 2, hidden
        layers += [nn.ConvTranspose2d(inputs, hidden, 5, 1, 2), nn.ReLU()]
        layers += [nn.ConvTranspose2d(hidden, 4, 3, 1, 1)]
        self.decoder = nn.Sequential(*layers)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, ...]:
        b = images.shape[0]
        x = self.encoder(images).permute(0, 2, 3, 1)
        x = self.encoder_pos(x).flatten(1, 2)
        x = self.fc2(functional.relu(self.fc1(self.norm(x))))
        slots = self.slot_attention(x, noise)
        x = slots.reshape(-1, 1, 1, slots.shape[-1]).repeat(1, *self.start, 1)
        x = self.decoder(self.decoder_pos(x).permute(0, 3, 1, 2))
        recons, masks = x.reshape(b, -1, *x.shape[1:]).split([3, 1], dim=2)
        masks = masks.softmax(dim=1)
        return (recons * masks).sum(dim=1), recons, masks, slots


def training_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, noise: Tensor | None = None
) -> float:
    """One step of Adam on the mean squared error; returns the loss."""
    optimizer.zero_grad()
    loss = functional.mse_loss(model(images, noise)[0], images)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())

"""The published architecture beside the same written plainly: ``python -m benchmarks.published``.

Milliseconds of processor time of a training step of the preset ``paper`` (128 pixels, 7 slots), in
float32 and in bfloat16, and of benchmarks/plain_slot_attention.py; the median of rounds in which
all take turns. Then the losses of ``--steps`` steps at ``--curve-size`` pixels from the same
weights, images and noise, beside those of another seed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn

from benchmarks.goals import Goal
from benchmarks.plain_slot_attention import SlotAttentionAutoEncoder, training_step
from slotbench.config.resolve import Choice, resolve
from slotbench.config.run_config import DatasetInfo
from slotbench.objectives.objective import TrainBatch
from slotbench.rng import torch_generator
from slotbench.training.build import build
from slotbench.training.devices import keep_memory

RATE = 4e-4
Step = Callable[[Tensor, int], float]
"""Takes a training step on images (B, 3, H, W); returns the loss."""


def scenes(size: int, count: int, step: int) -> Tensor:
    """Images of smooth ground and three squares each, float32 (B, 3, size, size) in [0, 1]."""
    generator = torch_generator("published", step)
    images = torch.linspace(0.3, 0.7, size)[:, None].expand(count, 3, size, size).clone()
    places = torch.randint(0, size - size // 4, (count, 3, 2), generator=generator).tolist()
    colors = torch.rand(count, 3, 3, 1, 1, generator=generator)
    for image, squares in enumerate(places):
        for k, (y, x) in enumerate(squares):
            images[image, :, y : y + size // 4, x : x + size // 4] = colors[image, k]
    return images


def ours(size: int, seed: int, precision: str) -> tuple[nn.Module, Step]:
    """The preset ``paper`` as slotbench trains it."""
    info = DatasetInfo("clevr", "clevr6", "rendered", "", size, 6)
    objective = build(resolve(Choice(preset="paper", seed=seed), info))
    optimizer = torch.optim.Adam(objective.parameters(), RATE, fused=True)

    def step(images: Tensor, number: int) -> float:
        images = images.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = objective.loss(TrainBatch(images, None, seed, number))["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())

    return objective, step


def plain(size: int, seed: int) -> tuple[nn.Module, Step]:
    """The plain one, from the same weights and with the same noise."""
    objective, _ = ours(size, seed, "float32")
    model = SlotAttentionAutoEncoder((size, size))
    with torch.no_grad():
        for one, other in matched(model, objective):
            one.copy_(other)
    optimizer = torch.optim.Adam(model.parameters(), RATE)

    def step(images: Tensor, number: int) -> float:
        noise = TrainBatch(images, None, seed, number).noise(objective.core)  # type: ignore[arg-type]
        return training_step(model, optimizer, images, noise)

    return model, step


def matched(model: nn.Module, objective: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The parameters of both that mean the same."""
    core, decoder = objective.get_submodule("core"), objective.get_submodule("decoder")
    names = ("norm_features", "norm_slots", "to_query", "to_key", "to_value", "gru", "mlp")
    theirs = ("norm_input", "norm_slots", "to_q", "to_k", "to_v", "gru")
    attention = model.get_submodule("slot_attention")
    first = [model.get_submodule(name) for name in ("encoder", "encoder_pos", "norm", "fc1", "fc2")]
    first += [attention.get_submodule(name) for name in (*theirs, "norm_mlp", "fc1", "fc2")]
    second = [core.get_submodule(f"encoder.{name}") for name in ("trunk", "position", "mlp")]
    second += [core.get_submodule(name) for name in names]
    ends = (("decoder_pos", "position"), ("decoder", "layers"))
    first += [model.get_submodule(name) for name, _ in ends]
    second += [decoder.get_submodule(name) for _, name in ends]
    pairs = [list(chain.from_iterable(m.parameters() for m in side)) for side in (first, second)]
    pairs[0] += [attention.get_parameter(name) for name in ("mu", "log_sigma")]
    pairs[1] += [core.get_parameter(name) for name in ("mean", "log_spread")]
    return list(zip(*pairs, strict=True))


def milliseconds(size: int, batch: int, rounds: int) -> dict[str, float]:
    """Of a step each, by name."""
    steps = {name: ours(size, 0, name)[1] for name in ("float32", "bfloat16")}
    steps["plain"] = plain(size, 0)[1]
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        images = scenes(size, batch, turn)
        for name, step in steps.items():
            begun = time.process_time()
            step(images, turn)
            taken[name].append(1000 * (time.process_time() - begun))
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def curves(size: int, batch: int, count: int) -> dict[str, list[float]]:
    """The losses of every step, of slotbench in both precisions, the plain one, and seed 1."""
    runs = {name: ours(size, 0, name)[1] for name in ("float32", "bfloat16")}
    runs |= {"plain": plain(size, 0)[1], "plain, seed 1": plain(size, 1)[1]}
    losses: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(count):
        images = scenes(size, batch, number)
        for name, step in runs.items():
            losses[name].append(step(images, number))
    return losses


def goals(size: int = 128, batch: int = 1, rounds: int = 3) -> list[Goal]:
    """How much faster than the plain one, in the fastest precision of this processor."""
    times = milliseconds(size, batch, rounds)
    print(", ".join(f"{name} {spent:.0f} ms" for name, spent in times.items()), "a step")
    ratio = times["plain"] / min(times["float32"], times["bfloat16"])
    return [
        Goal("published architecture, CPU: times as fast as plain", ratio, 1.6, at_least=True),
        Goal("published architecture, GPU: times as fast as plain", None, 4.0, at_least=True),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="steps of the loss curves; 0: none")
    parser.add_argument("--curve-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_memory()
    for goal in goals(asked.size, asked.batch, asked.rounds):
        print(goal.line())
    if not asked.steps:
        return
    losses = curves(asked.curve_size, 4, asked.steps)
    base = torch.tensor(losses["plain"])
    for name, found in losses.items():
        apart = (torch.tensor(found) - base).abs()
        at = ", ".join(f"{found[step]:.5f}" for step in range(-1, asked.steps, 50) if step > 0)
        print(f"{name}: {at}; |difference from plain|: mean {apart.mean():.2e}, {apart.max():.2e}")


if __name__ == "__main__":
    main()

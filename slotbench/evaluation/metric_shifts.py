"""What happens to masks and probes where the test set is not as the training set."""

from typing import TYPE_CHECKING, Any

from slotbench.datasets.format.splits import SHIFT_FLAGS, SHIFTED
from slotbench.datasets.shifts.kinds import SHIFTS
from slotbench.evaluation.metric import Context, Metric
from slotbench.evaluation.metric_properties import slot_data
from slotbench.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

    from slotbench.evaluation.representations import Representations
    from slotbench.evaluation.result import Result
    from slotbench.evaluation.targets import Encoding

NEW = {name: shift.new for name, shift in SHIFTS.items() if shift.new}
"""Shift -> properties to which it gives values that are not in training."""


@register("metrics")
class Shifts(Metric):
    """``shifts/<shift>/<subset>/<fg_ari, miou or mbo>/<source>`` and
    ``shifts/<shift>/<subset>/properties/linear/<protocol>/<property or mean>[/dropped]``.

    Dittadi et al. 2022, arXiv 2107.00637, Section 4, on every split that is called
    ``test-<shift>``. Subsets are ``all``, ``changed`` and ``unchanged`` objects, as the array
    ``shift/changed`` bool (n, O) of the split says; where there is none, the whole image was
    changed, and there is ``all`` alone. Probes are those of the training distribution; pairing
    by loss is two-step. Definitions and edge cases are those of
    :mod:`slotbench.evaluation.shifts`. The number of slots is that of the core, and as many more
    as images of the split may have objects more, where the core's weights can give them.
    """

    summary = "masks and probes on shifted test sets: all, changed, unchanged objects"
    source = "Dittadi et al. 2022, arXiv 2107.00637"
    name = "shifts"
    keys = ("shifts/*",)
    trains = ("slots", "overlap", "labelled")
    cost = 20_000.0

    def splits(self, dataset: Any) -> dict[str, tuple[str, ...]]:
        labels = ("labels/attention/first", "labels/decoder/first")
        found = [split for split in dataset.splits if split.startswith(SHIFTED)]
        if not found:
            return {}
        wanted = dict.fromkeys(("train", "val"), self.trains)
        return wanted | dict.fromkeys(found, (*self.trains, *labels))

    def compute(self, context: Context) -> "dict[str, Result]":
        shifts = [role for role in context.made if role.startswith(SHIFTED)]
        if not shifts:
            return context.skip(self.name, "the dataset has no shifted test sets")
        results: dict[str, Result] = {}
        for role in shifts:
            results |= _of_masks(context, context.made[role])
        if not context.dataset.layout.properties:
            context.skip(f"{self.name}/properties", "the dataset has no properties")
            return results
        for index, protocol in enumerate(("loss", "mask")):
            results |= _of_probe(context, shifts, protocol, index)
        return results


def _prefix(made: "Representations") -> str:
    return f"shifts/{made.split.removeprefix(SHIFTED)}"


def _changed(made: "Representations") -> Any:
    """Which objects the shift changed, bool (n, O); None where it changed the whole image."""
    group = made.dataset.file[made.split]
    if SHIFT_FLAGS not in group:
        return None
    return group[SHIFT_FLAGS][()].reshape(-1, made.dataset.layout_of(made.split).objects)[: made.n]


def _of_masks(context: Context, made: "Representations") -> "dict[str, Result]":
    import torch

    from slotbench.evaluation.result import mean_result
    from slotbench.evaluation.shifts import VERSION, shifted_masks

    if not made.labelled:
        return context.skip(_prefix(made), "no pixel of the images is labelled")
    flags, truth = _changed(made), torch.from_numpy(made.truth)
    objects = made.dataset.layout_of(made.split).objects
    changed = torch.zeros(made.n, objects, dtype=torch.bool)
    if flags is not None:
        changed = torch.from_numpy(flags)
    results = {}
    for source in made.sources("first"):
        labels = torch.from_numpy(made.arrays[f"labels/{source}/first"])
        scores = shifted_masks(labels, truth, changed, int(labels.max()) + 1)
        for subset, found in scores.items():
            if flags is None and subset != "all":
                continue
            for name, values in found.items():
                key = f"{_prefix(made)}/{subset}/{name}/{source}"
                results[key] = mean_result(values, context.seed, VERSION)
    return results


def _of_probe(
    context: Context, shifts: "list[str]", protocol: Any, index: int
) -> "dict[str, Result]":
    from slotbench.evaluation.properties import train_probe
    from slotbench.evaluation.shifts import VERSION, shifted_properties

    made = {role: context.made[role] for role in ("train", "val", *shifts)}
    if not all(split.visible.any() for split in made.values()):
        return context.skip(f"shifts/{protocol}", "a split shows no object")
    if protocol == "mask" and not all(split.labelled for split in made.values()):
        return context.skip(f"shifts/{protocol}", "a split has no labelled pixel")
    encoding, probe = train_probe(
        slot_data(made["train"]),
        slot_data(made["val"]),
        context.dataset.layout,
        seed=context.seed,
        protocol=protocol,
        steps=context.probe_steps,
        progress=context.progress(index, 2),
    )
    results = {}
    for role in shifts:
        split, flags = made[role], _changed(made[role])
        changed = split.visible & False if flags is None else flags
        new = NEW.get(role.removeprefix(SHIFTED), ())
        order, predicted, targets = _predicted(encoding, probe, split, changed, new, protocol)
        found = shifted_properties(
            encoding, predicted, targets, split.visible, changed, order.numpy(), context.seed, new
        )
        prefix = _prefix(split)
        for name, result in found.items():
            subset, _, rest = name.partition("/")
            if flags is not None or subset == "all":
                assert result.version == VERSION
                results[f"{prefix}/{subset}/properties/linear/{protocol}/{rest}"] = result
    return results


def _predicted(
    encoding: "Encoding",
    probe: "nn.Module",
    made: "Representations",
    changed: Any,
    new: tuple[str, ...],
    protocol: str,
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """The slot of each object (n, O), what it predicts and what is true (n, O, P)."""
    import torch

    from slotbench.evaluation.shifts import two_step, without_properties
    from slotbench.matching import assign

    visible, targets = torch.from_numpy(made.visible), encoding.encode(made.properties)
    with torch.no_grad():
        predicted = encoding.normalise(probe(torch.from_numpy(made.slots)))
    if protocol == "mask":
        order = assign(1 - torch.from_numpy(made.overlap).mT, visible)
    else:
        blind = without_properties(encoding, new).cost(predicted, targets)
        cost = encoding.cost(predicted, targets)
        order = two_step(blind, cost, visible, torch.from_numpy(changed))
    chosen = predicted.take_along_dim(order.clamp(min=0)[:, :, None], dim=1)
    return order, chosen * (order >= 0)[:, :, None], targets

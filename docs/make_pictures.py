"""Draws the pictures of docs/evaluation.md and computes every number in them with slotbench.

Type: python docs/make_pictures.py
"""

from collections.abc import Callable
from pathlib import Path

import made_data
import numpy as np
import torch
from PIL import Image, ImageDraw

from slotbench.datasets.format.schema import PALETTE
from slotbench.evaluation import health
from slotbench.evaluation.masks import attention_entropy, reconstruction_error
from slotbench.evaluation.segmentation import scores
from slotbench.evaluation.shifts import shifted_masks
from slotbench.report.canvas import (
    SMALL,
    TEXT,
    beside,
    blank,
    cross,
    label_panel,
    line_height,
    paragraph,
    photo,
    save,
    slot_colors,
    stacked,
    tick,
    truth_panel,
)
from slotbench.report.seen import background_slot
from slotbench.rng import numpy_generator

FOLDER = Path(__file__).parent / "pictures"
SIDE, WIDTH = 64, 150
GROUND, SLOTS = 3, 7
"""The slot of the background in perfect masks; and how many slots there are."""
Array = np.ndarray


def disc(x: float, y: float, radius: float) -> Array:
    """bool (64, 64)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: Array = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return inside


def square(x: float, y: float, radius: float) -> Array:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: Array = (abs(columns - x) <= radius) & (abs(rows - y) <= radius)
    return inside


def scene(*objects: Array) -> Array:
    """Label map uint8: later objects lie in front."""
    truth = np.zeros((SIDE, SIDE), np.uint8)
    for label, inside in enumerate(objects, start=1):
        truth[inside] = label
    return truth


def slots_of(truth: Array) -> Array:
    """Perfect masks: object i is slot i - 1, the background slot 4."""
    labels = truth.astype(np.int64) - 1
    return np.where(labels < 0, GROUND, labels)


PLACES = ((18, 20, 10), (44, 24, 9), (32, 47, 11))
OBJECTS = [disc(*PLACES[0]), square(*PLACES[1]), disc(*PLACES[2])]
TRUTH = scene(*OBJECTS)
PERFECT = slots_of(TRUTH)


def score(labels: Array, truth: Array = TRUTH) -> dict[str, float]:
    """The segmentation scores of one image."""
    found = scores(torch.from_numpy(labels)[None], torch.from_numpy(truth)[None], SLOTS)
    return {name: float(value[0]) for name, value in found.items()}


def captioned(panel: Image.Image, lines: list[str], good: bool | None, heading: str) -> Image.Image:
    """A panel under its heading, with a mark for a good or a bad case, and numbers below."""
    head = paragraph(heading, WIDTH - 20, SMALL)
    block = blank(WIDTH, line_height(SMALL) * 2)
    block.paste(head, (18 if good is not None else 0, 0))
    pen = ImageDraw.Draw(block)
    if good is not None:
        (tick if good else cross)(pen, 1, 4, 10)
    below = [paragraph(line, WIDTH, TEXT) for line in lines]
    return stacked([block, panel, *below], gap=2)


def masks(labels: Array, truth: Array = TRUTH) -> Image.Image:
    ground = background_slot(truth, {"masks": labels})
    return label_panel(labels, slot_colors(SLOTS, ground), WIDTH - 10)


def truth_case(truth: Array = TRUTH) -> Image.Image:
    matched = {label: label - 1 for label in range(1, int(truth.max()) + 1)}
    panel = truth_panel(truth, matched, slot_colors(SLOTS, GROUND), WIDTH - 10)
    return captioned(panel, [], None, "true masks")


def mask_case(
    heading: str, labels: Array, names: tuple[str, ...], good: bool, truth: Array = TRUTH
) -> Image.Image:
    found = score(labels, truth)
    titles = {
        "ari": "ARI",
        "fg_ari": "FG-ARI",
        "miou": "mIoU",
        "mbo": "mBO",
        "sc": "SC",
        "msc": "mSC",
    }
    lines = [f"{titles[name]} {found[name]:.2f}" for name in names]
    return captioned(masks(labels, truth), lines, good, heading)


def ground_in_parts() -> Array:
    """Objects whole, the background in three slots."""
    columns = np.mgrid[:SIDE, :SIDE][1]
    return np.where(TRUTH == 0, 3 + (columns * 3) // SIDE, PERFECT)


def cells() -> Array:
    """Each pixel belongs to its nearest object: whole objects, no background."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    far = [np.hypot(columns - x, rows - y) - radius for x, y, radius in PLACES]
    nearest = np.argmin(far, axis=0)
    return np.where(TRUTH > 0, PERFECT, nearest)


def grown(pixels: int) -> Array:
    """Every object's mask larger by a rim of background."""
    labels = np.full((SIDE, SIDE), GROUND)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for slot, (x, y, radius) in enumerate(PLACES):
        labels[(np.hypot(columns - x, rows - y) <= radius + pixels)] = slot
    return np.where(TRUTH > 0, PERFECT, labels)


def merged() -> Array:
    return np.where(PERFECT == 1, 0, PERFECT)


def halved() -> Array:
    """The last object in two slots."""
    rows = np.mgrid[:SIDE, :SIDE][0]
    return np.where((TRUTH == 3) & (rows > 47), 4, PERFECT)


def ari() -> Image.Image:
    names = ("ari", "fg_ari")
    return beside(
        [
            truth_case(),
            mask_case("one slot for each object, one for the rest", PERFECT, names, True),
            mask_case("background in three slots", ground_in_parts(), names, False),
            mask_case("two objects in one slot", merged(), names, False),
        ],
        14,
    )


def fg_ari() -> Image.Image:
    names = ("fg_ari", "ari")
    return beside(
        [
            truth_case(),
            mask_case("objects whole, the rest anyhow", cells(), names, True),
            mask_case("one object in two slots", halved(), names, False),
            mask_case("everything in one slot", np.zeros_like(PERFECT), names, False),
        ],
        14,
    )


def miou() -> Image.Image:
    names = ("miou", "fg_ari")
    return beside(
        [
            truth_case(),
            mask_case("masks that end where objects end", grown(1), names, True),
            mask_case("masks that take in background", grown(7), names, False),
            mask_case("two objects in one slot: one of them has none", merged(), names, False),
        ],
        14,
    )


def mbo() -> Image.Image:
    names = ("mbo", "miou")
    return beside(
        [
            truth_case(),
            mask_case("masks that end where objects end", grown(1), names, True),
            mask_case("two objects in one slot: it serves both", merged(), names, False),
            mask_case("no slot is an object", np.mgrid[:SIDE, :SIDE][0] // 16, names, False),
        ],
        14,
    )


def sc() -> Image.Image:
    truth = scene(disc(24, 32, 18), square(52, 14, 4), disc(52, 50, 4))
    whole = slots_of(truth)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    lost = np.where(truth > 1, GROUND, whole)
    quartered = 2 * (rows > 32) + (columns > 24)
    split = np.where(truth == 1, np.array([0, 4, 5, 6])[quartered], whole)
    names = ("sc", "msc")
    return beside(
        [
            truth_case(truth),
            mask_case("every object covered", whole, names, True, truth),
            mask_case("small objects lost", lost, names, False, truth),
            mask_case("large object in four", split, names, False, truth),
        ],
        14,
    )


def painted(drop: int | None = None) -> Array:
    """The scene as an image uint8 (64, 64, 3)."""
    image = np.full((SIDE, SIDE, 3), 150, np.uint8)
    for slot, inside in enumerate(OBJECTS):
        if slot != drop:
            image[inside] = PALETTE[[4, 5, 2][slot]]
    return image


def floats(image: Array) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def error_case(heading: str, decoded: Array, good: bool) -> Image.Image:
    error = float(reconstruction_error(floats(decoded), floats(painted()))[0])
    return captioned(photo(decoded, WIDTH - 10), [f"MSE {error:.4f}"], good, heading)


def recon_mse() -> Image.Image:
    soft = np.array(
        Image.fromarray(painted())
        .resize((16, 16), Image.Resampling.BOX)
        .resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    )
    return beside(
        [
            captioned(photo(painted(), WIDTH - 10), [], None, "image"),
            error_case("a little soft", soft, True),
            error_case("one object is missing", painted(drop=2), False),
            error_case(
                "the mean colour alone",
                np.full_like(painted(), painted().mean(axis=(0, 1)).astype(np.uint8)),
                False,
            ),
        ],
        14,
    )


def health_case(heading: str, attention: Array, slots: Array, good: bool) -> Image.Image:
    """``attention`` (K, 64, 64) of one image, ``slots`` (n, K, D) of many."""
    soft = torch.from_numpy(attention)[None].float()
    labels = soft.argmax(dim=1)
    vectors = torch.from_numpy(slots).float()
    lines = [
        f"empty slots {float(health.empty_slots(labels, len(attention))[0]):.2f}",
        f"entropy {float(attention_entropy(soft)[0]):.2f}",
        f"cosine {float(health.slot_cosine(vectors).mean()):.2f}",
        f"rank {health.effective_rank(vectors):.1f}",
    ]
    return captioned(masks(labels[0].numpy()), lines, good, heading)


def slot_health() -> Image.Image:
    sharp = np.eye(4)[PERFECT].transpose(2, 0, 1)
    draw = numpy_generator("docs", "health")
    apart = draw.normal(size=(200, 4, 16))
    alike = apart[:, :1, :1] * apart[0, 0] + 0.1 * apart
    soft = 0.97 / 4 + 0.03 * sharp
    one = np.zeros_like(sharp)
    one[0] = 1
    return beside(
        [
            truth_case(),
            health_case("each slot has its part and its own content", sharp, apart, True),
            health_case("attention nearly even: the argmax hides it", soft, alike, False),
            health_case("one slot takes everything", one, apart, False),
        ],
        14,
    )


def consistency() -> Image.Image:
    other = np.array([1, 2, 0, 3])[PERFECT]
    rows = []
    for heading, labels, good in (
        ("second draw: slots swapped", other, True),
        ("second draw: other groups", np.mgrid[:SIDE, :SIDE][1] // 16, False),
    ):
        pair = torch.from_numpy(PERFECT)[None], torch.from_numpy(labels)[None]
        value = float(health.consistency(*pair, 4)[0])
        rows.append(captioned(masks(labels), [f"consistency {value:.2f}"], good, heading))
    return beside([captioned(masks(PERFECT), [], None, "first draw"), *rows], 14)


def shifts() -> Image.Image:
    """The green disc has turned purple, a colour that the model has never seen."""
    image = painted()
    image[OBJECTS[2]] = PALETTE[8]
    rows = np.mgrid[:SIDE, :SIDE][0]
    cases = [captioned(photo(image, WIDTH - 10), ["object 3 changed"], None, "a new colour")]
    for heading, labels, good in (
        ("the changed object is still found", PERFECT, True),
        ("it is lost to the background", np.where(TRUTH == 3, GROUND, PERFECT), False),
        (
            "it is found, and the others suffer",
            np.where((TRUTH > 0) & (TRUTH < 3) & (rows > 20), GROUND, PERFECT),
            False,
        ),
    ):
        found = shifted_masks(
            torch.from_numpy(labels)[None],
            torch.from_numpy(TRUTH)[None],
            torch.tensor([[False, False, True]]),
            SLOTS,
        )
        lines = [f"mIoU {subset} {float(value['miou'][0]):.2f}" for subset, value in found.items()]
        cases.append(captioned(masks(labels), lines, good, heading))
    return beside(cases, 14)


def decoder_probe() -> Image.Image:
    """A decoder trained on frozen slots: its masks of one image it has not seen."""
    cases = list[Image.Image]()
    for heading, content, good in (
        ("each slot holds one object", "own", True),
        ("each slot holds the mean of all", "mean", False),
    ):
        image, truth, labels, value = made_data.decoded(content)
        if not cases:
            cases += [captioned(photo(image, WIDTH - 10), [], None, "image"), truth_case(truth)]
        panel = masks(labels, truth)
        cases.append(captioned(panel, [f"FG-ARI {value:.2f}", "over 100 images"], good, heading))
    return beside(cases, 14)


def everything() -> dict[str, Callable[[], Image.Image]]:
    """File name -> what draws it."""
    own = (ari, fg_ari, miou, mbo, sc, recon_mse, decoder_probe, slot_health, consistency, shifts)
    import probe_pictures  # it draws on the scene of this file

    return {draw.__name__: draw for draw in own} | probe_pictures.PICTURES


def write_tables() -> None:
    """Puts the tables of ``made_data`` between their marks in evaluation.md."""
    page = FOLDER.parent / "evaluation.md"
    text = page.read_text()
    for name, table in made_data.TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = before + start + table() + "\n" + end + rest.partition(end)[2]
    page.write_text(text)


def main() -> None:
    for name, draw in everything().items():
        picture = stacked([draw()], margin=10)
        file = save(picture, FOLDER / f"{name}.png", small=True)
        print(f"{file.name}: {picture.width}x{picture.height}, {file.stat().st_size:,} bytes")
    write_tables()


if __name__ == "__main__":
    main()

"""The pictures of probes: properties, the scene, sets of objects, disentanglement."""

import made_data
import numpy as np
from PIL import Image, ImageDraw

from slotbench.datasets.format.schema import PALETTE
from slotbench.evaluation import dci as dci_metric
from slotbench.evaluation.linear_probe import SceneData, knn_count, linear_probe, scene_labels
from slotbench.evaluation.set_prediction import ObjectSets, average_precision
from slotbench.report.canvas import (
    FAINT,
    INK,
    RULE,
    SMALL,
    TEXT,
    Color,
    beside,
    blank,
    cross,
    line_height,
    paragraph,
    photo,
    stacked,
    tick,
    write,
)
from slotbench.rng import numpy_generator

Array = np.ndarray
PLOT = 220


def case(heading: str, good: bool, plot: Image.Image, lines: list[str]) -> Image.Image:
    """A plot under its heading with a mark, numbers below."""
    head = blank(PLOT, line_height(SMALL) * 2)
    (tick if good else cross)(ImageDraw.Draw(head), 1, 4, 10)
    head.paste(paragraph(heading, PLOT - 20, SMALL), (18, 0))
    return stacked([head, plot, *(paragraph(line, PLOT, TEXT) for line in lines)], gap=3)


def properties() -> Image.Image:
    """What slots say of the objects that their masks are on."""
    import make_pictures as shared

    colors = ("blue", "orange", "green")
    cases = []
    for heading, content, said, good in (
        ("each slot holds its own object", "own", colors, True),
        ("each slot holds the next object", "neighbour", (*colors[1:], colors[0]), False),
    ):
        picture = photo(shared.painted(), PLOT)
        pen = ImageDraw.Draw(picture)
        for (x, y, _), word, true in zip(shared.PLACES, said, colors, strict=True):
            at = ((x + 0.5) * PLOT / shared.SIDE, (y + 0.5) * PLOT / shared.SIDE)
            _word(pen, at, word, word == true)
        lines = []
        for protocol in ("mask", "loss"):
            found = made_data.probe(content, protocol)
            color, place = (made_data.shown(found[name]) for name in ("color", "position"))
            lines.append(f"{protocol}: color {color}, position {place}")
        cases.append(case(heading, good, picture, lines))
    return beside(cases, 24)


def _word(pen: ImageDraw.ImageDraw, at: tuple[float, float], word: str, right: bool) -> None:
    x, y = at
    pen.rectangle([(x - 34, y - 10), (x + 34, y + 10)], fill=(255, 255, 255), outline=INK)
    (tick if right else cross)(pen, x - 29, y - 5, 9)
    write(pen, (x + 7, y), word, SMALL, INK, "mm")


def scene(noise: float, n: int, seed: str) -> SceneData:
    """The mean over slots that hold (is there an object, its colour), with noise on top."""
    data = made_data.make(n, seed, "own")
    there = np.concatenate([data.visible, np.zeros((n, 1), bool)], axis=1)[:, :, None]
    held = np.concatenate([there, data.slots[:, :, :4] / 4], axis=2)
    draw = numpy_generator("docs", "scene", seed)
    features = held.mean(axis=1) + noise * draw.normal(size=(n, 5))
    present = scene_labels(made_data.LAYOUT, data.properties, data.visible)
    return SceneData(features.astype(np.float32), present, data.visible.sum(axis=1))


def probe() -> Image.Image:
    """The mean over slots as a scatter, each image drawn as its number of objects."""
    cases = []
    for heading, noise, good in (
        ("the mean tells how many objects there are", 0.02, True),
        ("the mean is mostly noise", 0.6, False),
    ):
        train, val, test = (
            scene(noise, n, name) for n, name in ((1_000, "train"), (200, "val"), (500, "test"))
        )
        found = linear_probe(train, val, test, seed=0)
        lines = [
            f"linear probe: count {found['count'].value:.2f}",
            f"linear probe: mAP {found['map'].value:.2f}",
            f"k-NN: count {knn_count(train, test, seed=0).value:.2f}",
        ]
        plot = _scatter(test.features[:70, :2], test.count[:70])
        cases.append(case(heading, good, plot, lines))
    return beside(cases, 24)


def _scatter(points: Array, counts: Array) -> Image.Image:
    plot = _frame()
    pen = ImageDraw.Draw(plot)
    low, high = points.min(axis=0), points.max(axis=0)
    for (x, y), count in zip((points - low) / (high - low), counts, strict=True):
        at = (14 + x * (PLOT - 28), PLOT - 14 - y * (PLOT - 28))
        write(pen, at, str(count), TEXT, _color({3: 4, 4: 5, 5: 2}[int(count)]), "mm")
    return plot


def _color(index: int) -> Color:
    """A colour of the palette."""
    red, green, blue = map(int, PALETTE[index])
    return red, green, blue


def _frame() -> Image.Image:
    plot = blank(PLOT, PLOT)
    ImageDraw.Draw(plot).rectangle([(0, 0), (PLOT - 1, PLOT - 1)], outline=RULE)
    return plot


def sets(spread: float, double: bool, seed: str) -> tuple[ObjectSets, ObjectSets]:
    """Predicted and true sets of 200 images: four objects of two classes each."""
    draw = numpy_generator("docs", "sets", seed)
    place = draw.uniform(-2.7, 2.7, (200, 4, 2))
    kind = draw.integers(0, 2, (200, 4, 1))
    sure = 0.95 - 0.1 * draw.random((200, 4))
    truth = ObjectSets(place, kind, np.ones((200, 4)))
    guessed = place + spread * draw.normal(size=place.shape)
    if double:  # the last slot repeats the first object
        guessed[:, 3], kind = guessed[:, 0] + 0.3, np.concatenate([kind[:, :3], kind[:, :1]], 1)
    return ObjectSets(guessed, kind, sure), truth


def set_prediction() -> Image.Image:
    """True objects as rings of radius 0.5, predictions as crosses."""
    cases = []
    for heading, spread, double, good in (
        ("every object predicted once, near", 0.08, False, True),
        ("far off, and one object predicted twice", 0.4, True, False),
    ):
        predicted, truth = sets(spread, double, "test")
        found = average_precision(predicted, truth, seed=0)
        names = ("inf", "1", "0.5", "0.25", "0.125")
        shown = ", ".join(f"{found[f'ap/{name}'].value:.2f}" for name in names)
        lines = ["AP at inf, 1, 0.5, 0.25, 0.125:", shown]
        cases.append(case(heading, good, _plane(predicted, truth), lines))
    return beside(cases, 24)


def _plane(predicted: ObjectSets, truth: ObjectSets, image: int = 5) -> Image.Image:
    plot, scale = _frame(), PLOT / 7
    pen = ImageDraw.Draw(plot)
    for (x, y), kind in zip(truth.position[image], truth.classes[image, :, 0], strict=True):
        x, y, r = PLOT / 2 + x * scale, PLOT / 2 - y * scale, 0.5 * scale
        pen.ellipse([(x - r, y - r), (x + r, y + r)], outline=FAINT, width=1)
        _dot(pen, x, y, int(kind))
    for (x, y), kind in zip(predicted.position[image], predicted.classes[image, :, 0], strict=True):
        x, y = PLOT / 2 + x * scale, PLOT / 2 - y * scale
        cross(pen, x - 4, y - 4, 8, _color((4, 5)[int(kind)]))
    return plot


def _dot(pen: ImageDraw.ImageDraw, x: float, y: float, kind: int) -> None:
    """A disc for the one class, a square for the other."""
    box = [(x - 5, y - 5), (x + 5, y + 5)]
    (pen.rectangle if kind else pen.ellipse)(box, outline=_color((4, 5)[kind]), width=2)


def codes(turned: bool, n: int, seed: str) -> dci_metric.Codes:
    """Codes of three dimensions: one each for colour, x and y; or the same, turned."""
    data = made_data.make(n, seed, "own")
    found = dci_metric.matched_codes(data)
    color = found.factors["color"][:, None] / 1.5 - 1
    held = np.concatenate([color, found.codes[:, 4:] / 4], axis=1).astype(np.float32)
    if turned:
        held -= 2 * held.mean(axis=1, keepdims=True)  # a reflection that mixes all three
    return dci_metric.Codes(held, found.factors, found.image)


def dci() -> Image.Image:
    """How strongly each dimension goes with each factor; the scores are those of the trees."""
    cases = []
    for heading, turned, good in (
        ("each dimension holds one factor", False, True),
        ("the same content, turned: every dimension holds a bit of all", True, False),
    ):
        train, test = codes(turned, 600, "train"), codes(turned, 200, "test")
        found = dci_metric.dci(train, test, made_data.LAYOUT.properties, seed=0)
        lines = [f"{name} {found[name].value:.2f}" for name in found]
        cases.append(case(heading, good, _heat(_correlations(test)), lines))
    return beside(cases, 24)


def _correlations(data: dci_metric.Codes) -> Array:
    """|r| (3, 3) of each dimension with colour, x and y; 0 for a dimension that is constant."""
    factors = np.column_stack([data.factors["color"], data.factors["position"]]).astype(float)
    one, other = (values - values.mean(axis=0) for values in (data.codes, factors))
    lengths = np.linalg.norm(one, axis=0)[:, None] * np.linalg.norm(other, axis=0)
    found: Array = np.abs(one.T @ other) / np.maximum(lengths, 1e-9)
    return found


def _heat(values: Array) -> Image.Image:
    """Dark squares for 1, white for 0; dimensions below each other, factors side by side."""
    plot, left, top = blank(PLOT, PLOT), 56, 20
    pen = ImageDraw.Draw(plot)
    names = ("color", "x", "y")
    step = ((PLOT - left) / len(names), (PLOT - top) / len(values))
    for row, line in enumerate(values):
        write(pen, (0, top + (row + 0.5) * step[1]), f"dim {row + 1}", SMALL, FAINT, "lm")
        for column, value in enumerate(line):
            corner = (left + column * step[0], top + row * step[1])
            shade = round(255 - 215 * float(value))
            far = (corner[0] + step[0] - 2, corner[1] + step[1] - 2)
            pen.rectangle([corner, far], fill=(shade, shade, shade), outline=RULE)
    for column, name in enumerate(names):
        write(pen, (left + (column + 0.5) * step[0], 0), name, SMALL, FAINT, "ma")
    return plot


PICTURES = {draw.__name__: draw for draw in (properties, probe, set_prediction, dci)}

"""Ranks, costs, suites and gaps on the page."""

import itertools
import re
import shutil
from urllib.parse import unquote

import pytest

from slotbench.config.resolve import dataset_info, resolve
from slotbench.datasets.format.dataset_file import DatasetFile
from slotbench.datasets.format.places import locate
from slotbench.errors import UserError
from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.ranks import overall
from tests.report.test_site import Page, site
from tests.results import results as fake
from tests.suites.tiny import data, planned
from tests.suites.tiny import write as write_suite

METRIC = "fg_ari/attention"
ALIGNMENTS = """
name = "tiny"
question = "Does it matter how slots are paired?"
metrics = "segmentation"
seeds = 3

[axes]
objective = ["simclr", "vicreg"]
alignment = ["hungarian", "pool"]
"""
FAMILIES = """
name = "families"
question = "Need it reconstruct?"
metrics = "segmentation"
seeds = 3

[axes]
objective = ["simclr", "reconstruction"]
"""


def row_of(page, *words):
    """The text of the first table row of the page with all of these words."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page.text, re.DOTALL)
    texts = (" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in rows)
    return next(text for text in texts if all(word in text for word in words))


def test_ranks_stand_on_the_page_with_their_ties_and_gaps(tmp_path):
    for variant in ("clevr6", "clevr10"):
        fake.add_seeds(tmp_path, METRIC, [0.8, 0.81, 0.82], objective="simclr", variant=variant)
        fake.add_seeds(tmp_path, METRIC, [0.79, 0.8, 0.82], objective="byol", variant=variant)
        fake.add_seeds(tmp_path, METRIC, [0.1, 0.11, 0.12], objective="random", variant=variant)
    fake.add_seeds(tmp_path, METRIC, [0.9, 0.91, 0.92], objective="vicreg")
    fake.add_run(tmp_path, objective="moco", status=fake.make_status("failed"))
    page = Page(site(tmp_path, tmp_path / "report").index)
    assert "ranks" in page.ids
    assert "over 2 datasets" in page.words
    assert row_of(page, "3.50 slot-attention + random")  # the fourth of four and the third of three
    board = leaderboard(tmp_path)
    places = [place for place in overall(board.raw, board.shown) if place.metric == METRIC]
    means = {place.label.split(" + ")[1].split(",")[0]: place.mean for place in places}
    assert means == {"simclr": 1.5, "byol": 1.5, "random": 3.5, "vicreg": None, "moco": None}


def opening_of(page):
    """The first screen's text, and the datasets of the table's rows in their order."""
    head = re.sub(r"<[^>]*>", " ", page.text[: page.text.index('id="leaderboard"')])
    data = [row["dataset"].partition(" ")[0] for row in page.table("board")]
    return " ".join(head.split()), list(dict.fromkeys(data))


def test_the_first_screen_is_of_the_data_that_the_headline_speaks_of(tmp_path):
    """Whatever else was run here."""
    for objective, value in (("simclr", 0.9), ("reconstruction", 0.5), ("random", 0.1)):
        values = [value, value + 0.01, value + 0.02]
        fake.add_seeds(tmp_path, METRIC, values, objective=objective, variant="clevr10")
    for objective in ("simclr", "byol", "vicreg", "supervised"):
        fake.add_run(tmp_path, {METRIC: 0.11}, objective=objective)
    page = Page(site(tmp_path, tmp_path / "report").index)
    head, data = opening_of(page)
    assert "clevr10" in leaderboard(tmp_path).verdict.headline
    assert data == ["clevr:clevr10", "clevr:clevr6"]
    assert "clevr:clevr10 · 64 px · rendered (not the original clevr): FG-ARI" in head
    # The legend names what is drawn.
    assert head.count("Dashed:") == 1
    assert "Dashed: random." in head
    # What else was run here is one click away.
    (link,) = (link for link in page.links if link.startswith("#?dataset="))
    other = unquote(link.partition("=")[2])
    assert [row["from"] for row in page.table("board") if row["dataset"] == other] == ["own"] * 4


def test_without_a_comparison_the_first_screen_is_of_what_was_run_here(tmp_path):
    records = [
        fake.make_record({METRIC: 0.5}, objective=name) for name in ("simclr", "byol", "random")
    ]
    fake.write(tmp_path / "published" / "2025.json", records)
    fake.add_run(tmp_path, {METRIC: 0.5}, objective="simclr", variant="clevr10")
    for objective in ("simclr", "supervised"):
        fake.add_run(tmp_path, {METRIC: 0.5}, objective=objective, name="clevrtex", variant="full")
    head, data = opening_of(Page(site(tmp_path, tmp_path / "report").index))
    # Of what was run here, that with most rows.
    assert data == ["clevrtex:full", "clevr:clevr10", "clevr:clevr6"]
    assert "Dashed: supervised." in head


def test_flops_are_a_cost_where_they_were_counted(tmp_path):
    for seed, (objective, count) in itertools.product(
        range(3), (("reconstruction", 2e15), ("simclr", 5e14), ("random", None))
    ):
        status = fake.make_status(flops=count) if count else fake.make_status()
        fake.add_run(tmp_path, {METRIC: 0.5}, objective=objective, seed=seed, status=status)
    page = Page(site(tmp_path, tmp_path / "report").index)
    counted = {row["objective"].split()[0]: row["FLOPs"] for row in page.table("board")}
    # One without it has no zero.
    assert counted == {"reconstruction": [2e15, "2e+15"], "simclr": [5e14, "5e+14"], "random": None}
    plain = tmp_path / "plain"
    fake.add_seeds(plain, METRIC, [0.1, 0.2])
    assert "FLOPs" not in Page(site(plain, plain / "report").index).table("board")[0]


def test_curves_of_many_rows_have_a_page_of_their_own(tmp_path):
    for number in range(26):
        run = fake.add_run(tmp_path, {METRIC: 0.5}, overrides={"core.slots": number})
        (run / "metrics.jsonl").write_text('{"step": 0, "loss": 2}\n{"step": 9, "loss": 0.5}\n')
    index = site(tmp_path, tmp_path / "report").index
    assert "curves.html" in Page(index).links
    curves = Page(index.with_name("curves.html"))
    assert curves.text.count("<polyline") == 26
    assert "index.html" in curves.links


@pytest.fixture
def home(tmp_path, blocks):
    data(tmp_path, blocks)
    return tmp_path


def ran_alone(home):
    """A suite of both families that was run here, without its name being told."""
    file = fill_suite(home, FAMILIES, {"simclr": 0.5, "reconstruction": 0.8}, ("none", 0))
    folder = home / "results" / "suites" / "families"
    folder.mkdir(parents=True)
    shutil.copy(file, folder / "suite.toml")


def fill_suite(home, text, values, skip):
    """The suite's runs with made-up numbers, by objective or alignment; one of them failed."""
    file = write_suite(home, text)
    for cell in planned(file, home / "data", home / "results").cells:
        path, seed = cell.run.path, cell.choice.seed
        level = str(cell.values.get("alignment") or cell.values["objective"])
        with DatasetFile(locate(cell.choice.dataset, home / "data")) as dataset:
            document = resolve(cell.choice, dataset_info(dataset)).to_dict()
        fake.write(path / "config.json", document)
        if (cell.values["objective"], seed) == skip and level == min(values):
            fake.write(path / "status.json", fake.make_status("failed", reason="no memory left"))
            continue
        fake.write(path / "status.json", fake.make_status())
        numbers = {METRIC: values[level] + 0.001 * seed * (level == max(values))}
        fake.write(path / "evaluation.json", fake.make_evaluation(document, numbers))
    return file


def suite_site(home, suite):
    places = {"data_dir": home / "data", "suite": suite}
    return Page(site(home / "results", home / "report", **places).index)


def test_a_suites_question_is_answered_by_its_axes(home):
    file = fill_suite(home, ALIGNMENTS, {"hungarian": 0.5, "pool": 0.4}, ("vicreg", 2))
    fake.add_seeds(home / "results", METRIC, [0.9, 0.9, 0.9], objective="byol")  # of no suite
    page = suite_site(home, str(file))
    answer = page.words.index("alignment: undecided in 1 comparison, the largest")
    assert page.words.index("Does it matter how slots are paired?") < answer
    assert "hungarian over pool on segmentation (FG-ARI) (+0.10" in page.words
    assert "objective: equivalent in 1 comparison" in page.words
    assert "11 of 12 runs of the suite count; 1 failed." in page.words
    assert "byol" not in page.words
    assert "no memory left" in page.words
    assert "0.200 3 undecided" in row_of(page, "alignment", "hungarian over pool")


def test_the_page_and_the_terminal_count_the_same_comparisons(home):
    """Those of a suite's axes are counted apart."""
    ran_alone(home)
    for objective in ("byol", "reconstruction"):
        fake.add_run(home / "results", {METRIC: 0.9}, objective=objective)
    page, board = suite_site(home, None), leaderboard(home / "results")
    assert board.lacking.startswith("1 of 2 comparisons lack seeds")
    assert board.lacking in page.words
    assert board.lacking in " ".join(fake.text_of(board).split())


def test_without_its_name_a_suite_that_ran_alone_gives_its_question_even_without_data(home):
    ran_alone(home)
    page = suite_site(home, None)
    board = leaderboard(home / "results")
    assert "Need it reconstruct?" in page.words
    # Both families are its one axis: their comparison is the answer.
    assert board.verdict.headline in page.words
    assert "6 of 6 runs of the suite count." in page.words
    shutil.rmtree(home / "data")
    page = suite_site(home, None)
    assert "Not prepared here" in page.words
    assert "Need it reconstruct?" in page.words


def test_a_suite_that_is_not_known_is_an_error(home):
    fake.add_run(home / "results", {METRIC: 0.5})
    with pytest.raises(UserError, match="suite"):
        suite_site(home, "alignmnt")


def test_the_first_screen_is_of_the_data_where_most_rows_have_the_seeds_of_a_claim(tmp_path):
    """As in the terminal, whatever has more rows of fewer seeds."""
    for objective in ("simclr", "byol", "vicreg", "supervised"):
        fake.add_run(tmp_path, {METRIC: 0.11}, objective=objective)
    for objective in ("simclr", "random"):
        fake.add_seeds(tmp_path, METRIC, [0.1, 0.2, 0.3], objective=objective, variant="clevr10")
    _, data = opening_of(Page(site(tmp_path, tmp_path / "report").index))
    assert data == ["clevr:clevr10", "clevr:clevr6"]

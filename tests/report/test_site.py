"""The static site: what it says, what it links, what it survives. No browser here."""

import itertools
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from benchmarks.leaderboard_scale import make
from slotbench import registry
from slotbench.errors import UserError
from slotbench.locks import hold
from slotbench.progress import plain
from slotbench.report.site import pages, write_site
from slotbench.report.site.pages import MOST_POINTS, learning_curve
from slotbench.report.site.study import QUESTION
from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.collect import find
from slotbench.results.leaderboard.wording import interval
from slotbench.results.run import Run
from tests.results.results import ALL, add_run, make_status, publish


class Page(HTMLParser):
    """Links, pictures, ids and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.path, self.text = path, path.read_text()
        self.links, self.ids, self.words = [], [], ""
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        del tag
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data):
        self.words += data

    def table(self, name):
        """The rows of a table, as dictionaries: cells by column, and what else is known of each."""
        text = re.search(r'id="data">(.*?)</script>', self.text, re.DOTALL).group(1)
        found = json.loads(text)[name]
        names = [column["name"] for column in found["columns"]]
        return [{**row, **dict(zip(names, row["cells"], strict=True))} for row in found["rows"]]


def fill(results):
    """Three objectives on three seeds, one run that failed, published ones."""
    for seed, (objective, value) in itertools.product(
        range(3), (("reconstruction", 0.8), ("simclr", 0.3), ("random", 0.1))
    ):
        numbers = {key: value + seed / 100 for key in ALL if key != "fg_ari/decoder"}
        run = add_run(results, numbers, objective=objective, seed=seed)
        lines = (f'{{"step": {step}, "loss": {1 / (step + 1)}}}' for step in range(500))
        (run / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 500, "lo')
    failed = make_status("failed", reason="<script>alert(1)</script> & more")
    add_run(results, None, objective="simclr", seed=7, status=failed)
    publish(results, ALL, [20, 21])


def site(results, out, **options):
    options = {"data_dir": results / "nothing", "device": "cpu", "pictures": False, **options}
    return write_site(results, out, **options)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    fill(results)
    site(results, results / "report")
    return results, results / "report"


def test_every_link_leads_to_something_on_this_disk(written):
    pages = sorted(written[1].rglob("*.html"))
    assert len(pages) == 1 + 10
    for page in map(Page, pages):
        for link in page.links:
            if link.startswith("#"):
                assert link[1:] in page.ids
            elif link != "data:,":
                assert (page.path.parent / unquote(link)).is_file(), link
        assert len(page.ids) == len(set(page.ids))
        rows = page.table("board") + page.table("runs") if page.path.name == "index.html" else []
        assert all((page.path.parent / row["link"]).exists() for row in rows)
        # Nothing is fetched, from anywhere.
        assert not re.findall(r"(?:src|href)=.(?:https?:)?//", page.text)
        assert "@import" not in page.text


def test_the_answer_is_the_leaderboards(written):
    words, board = Page(written[1] / "index.html").words, leaderboard(written[0])
    begin = words.index(QUESTION)
    assert begin < words.index(board.verdict.headline, begin) < words.index("Evidence", begin)
    found = [(family.verdict, interval(family.result)) for family in board.families]
    assert all(text in words for text in (*board.notes, *itertools.chain(*found)))


def test_comparisons_without_seeds_are_one_line(tmp_path):
    for objective in ("reconstruction", "simclr", "byol"):
        add_run(tmp_path, {"fg_ari/attention": 0.5}, objective=objective)
    page = Page(site(tmp_path, tmp_path / "report").index)
    assert "2 of 2 comparisons lack seeds: each needs 3 on both sides." in page.words
    assert "evidence" not in page.ids


def test_what_stands_first_is_on_the_first_screen(written):
    """Question, answer, one plot with every seed of the best row of each objective."""
    page = Page(written[1] / "index.html")
    head = page.text[: page.text.index('id="leaderboard"')]
    assert head.index(QUESTION) < head.index('id="answer"') < head.index('id="primary"')
    rows = [row for row in page.table("board") if row["best"]]
    assert [row["objective"] for row in rows][:2] == ["reconstruction", "simclr"]
    mean, low, high, seeds = rows[0]["plot"]["fg_ari/attention"]
    assert low < min(seeds) <= mean <= max(seeds) < high
    assert [row["end"] for row in rows if row["objective"] == "random"] == ["floor"]


NASTY = ("x$\\nope$y", "<script>alert(1)</script>", "[/b] & \x1b]0;owned\x07", "a" * 200)


def test_a_name_is_text_whatever_is_in_it(tmp_path):
    for seed, name in enumerate(NASTY):
        numbers = {"fg_ari/attention": 0.5}
        status = make_status(reason=name)
        add_run(tmp_path, numbers, seed=seed, status=status, overrides={"objective.teacher": name})
    page = Page(site(tmp_path, tmp_path / "report").index)
    rows = [*page.table("board"), *page.table("runs")]
    assert all(
        plain(name)[:20] in json.dumps(rows, ensure_ascii=False).replace("\\\\", "\\")
        for name in NASTY
    )
    assert "<script>alert" not in page.text
    assert "\x1b" not in page.text


def test_damaged_runs_are_left_out_with_their_reasons(tmp_path):
    fill(tmp_path)
    damage = {"config.json": "", "status.json": "null", "evaluation.json": '{"metrics": 3}'}
    runs = sorted((tmp_path / "runs").glob("*/*reconstruction/*-*"))
    for run, (file, content) in zip(runs, damage.items(), strict=True):
        (run / file).write_text(content)
    page = Page(site(tmp_path, tmp_path / "report").index)
    problems = [problem for run in find(tmp_path) for problem in run.problems]
    assert len(problems) == 3
    assert all(problem in page.words for problem in problems)
    told = [text for row in page.table("runs") for text in row["warnings"]]
    assert set(problems) <= set(told)
    assert any(row["core"] == "slot-attention" for row in page.table("board"))


@pytest.mark.parametrize("family", ["mine", None])
def test_a_family_that_nobody_knows_is_drawn_as_unknown(tmp_path, family, monkeypatch):
    entry = replace(registry.get("objectives", "simclr"), family=family)
    known = {**registry.entries("objectives"), "simclr": entry}
    monkeypatch.setitem(registry._ENTRIES, "objectives", known)
    fill(tmp_path)
    rows = Page(site(tmp_path, tmp_path / "report").index).table("board")
    assert [row["family"] for row in rows if "simclr" in row["objective"]] == [family or "unknown"]


def test_two_reports_into_one_folder_are_one_too_many(written):
    out = written[1]
    (out / "runs" / ".old.html.7-ab.tmp").touch()
    with hold(out / ".lock"), pytest.raises(UserError, match="Another report"):
        site(written[0], out)
    site(written[0], out)
    assert not list(out.rglob("*.tmp"))


def test_a_folder_of_other_things_is_not_replaced(tmp_path):
    add_run(tmp_path, {"fg_ari/attention": 0.5})
    out = tmp_path / "mydocs"
    out.mkdir()
    index = out / "index.html"
    index.write_text("hi")
    with pytest.raises(UserError, match="written before") as error:
        site(tmp_path, out)
    assert "--force" in error.value.advice
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"other things, such as notes\.txt"):
        site(tmp_path, out, force=True)
    assert index.read_text() == "hi"
    assert len(list(out.iterdir())) == 2
    (out / "notes.txt").unlink()
    site(tmp_path, out, force=True)
    first = index.read_bytes()
    # A site of ours is rewritten freely, one that was not finished too.
    index.write_bytes(first + b" ")
    site(tmp_path, out)
    assert index.read_bytes() == first
    index.unlink()
    site(tmp_path, out)
    assert index.read_bytes() == first


def test_pictures_are_copied_unless_they_lead_out_of_the_run(tmp_path, capsys):
    run = add_run(tmp_path, {"fg_ari/attention": 0.5})
    (tmp_path / "secret").write_text("a secret")
    (run / "pictures").mkdir()
    (run / "pictures" / "test.png").write_bytes(b"a picture")
    (run / "pictures" / "test-link.png").symlink_to(tmp_path / "secret")
    os.mkfifo(run / "pictures" / "test-pipe.png")
    assert site(tmp_path, tmp_path / "out").pictures == 1
    assert "leads out of the run" in " ".join(capsys.readouterr().err.split())
    (copy,) = (tmp_path / "out" / "pictures").iterdir()
    assert (copy.name, copy.read_bytes()) == (f"{run.name}-test.png", b"a picture")


def test_numbers_that_are_missing_and_runs_that_failed_are_seen(written):
    page = Page(written[1] / "index.html")
    rows = page.table("board")
    assert [row["seeds"][3] for row in rows if "simclr" in row["objective"]] == ["1 failed"]
    assert all(row["fg_ari/decoder"] is None for row in rows if row["from"] == "own")
    assert {row["from"] for row in rows} == {"own", "both"}
    told = [text for row in page.table("runs") for text in (row["state"], *row["warnings"])]
    assert "failed: <script>alert(1)</script> & more" in told
    assert "<script>alert" not in page.text


def test_a_run_has_its_numbers_its_fields_and_its_curve(written):
    run = next((written[0] / "runs").glob("*/*simclr/0-*"))
    page = Page(written[1] / "runs" / f"{run.name}.html")
    for words in ("linear_probe/slots/map", "core.name", "train.steps", "seconds", "simclr"):
        assert words in page.words
    points = learning_curve(Run(run))
    assert points[0] == (0, 1)
    assert 0 < len(points) <= MOST_POINTS
    assert learning_curve(Run(run.parent)) == []


def test_the_same_results_give_the_same_bytes_and_another_question_is_text(written, tmp_path):
    site(written[0], tmp_path)
    for file in sorted(written[1].rglob("*.html")):
        assert (tmp_path / file.relative_to(written[1])).read_bytes() == file.read_bytes()
    site(written[0], tmp_path, question="Is <b> better?")
    assert "Is <b> better?" in Page(tmp_path / "index.html").words


def test_without_results_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match="there is no run"):
        site(tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_model_that_is_not_here_gives_a_page_without_pictures(written, tmp_path, capsys):
    assert site(written[0], tmp_path, pictures=True).pictures == 0
    # Told once for all of them, with what to type.
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("is not prepared") == 1
    assert "2 runs: no pictures: Dataset 'clevr:clevr6' is not prepared" in told
    assert "no pictures: Unknown decoder 'shuffle'" in told  # another reason
    assert "Type: slotbench prepare clevr" in told
    assert (tmp_path / "index.html").is_file()


def test_other_data_in_the_way_of_pictures_is_told_once(written, tmp_path, blocks, capsys):
    site(written[0], tmp_path, pictures=True, data_dir=blocks)
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("is not the data of the training") == 1
    assert "2 runs: no pictures: " in told
    assert f"Type: slotbench prepare clevr --data-dir {blocks}/" in told
    assert f", then add --data-dir {blocks}/" in told


def test_rows_beyond_the_first_are_in_a_file_that_a_script_loads(tmp_path, monkeypatch):
    fill(tmp_path)
    monkeypatch.setattr(pages, "MOST_ROWS", 3)
    index = site(tmp_path, tmp_path / "report").index
    page = Page(index)
    assert "rows.js" in page.links
    assert len(page.table("runs")) == len(page.table("board")) == 3
    text = index.with_name("rows.js").read_text()
    more = json.loads(text.removeprefix("slotbench(").removesuffix(");\n"))
    assert len(more["runs"]) + 3 == len(find(tmp_path))
    assert "<script>" not in text


@pytest.mark.slow
def test_five_thousand_runs_have_an_index_below_a_megabyte_and_a_half(tmp_path):
    # Five seeds each of 1,000 rows on 14 datasets, 56 metrics: as wide as results get.
    make(tmp_path, 5000, seeds=5)
    index = site(tmp_path, tmp_path / "report").index
    assert index.stat().st_size < 1.5e6
    assert sum(file.stat().st_size for file in index.parent.glob("*.*")) < 6e6

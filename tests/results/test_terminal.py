"""The leaderboard's default page: at most 25 lines, whatever there is, and the answer last."""

import pytest

from slotbench.results import SHIPPED
from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.compact import in_order
from slotbench.results.leaderboard.terminal import MOST_LINES
from tests.results.results import ALL, add_run, add_seeds, make_record, make_status, text_of, write

FG = "fg_ari/attention"
FAILED = make_status("failed", reason="no memory left")
OF_VAL = {"evaluation": {"split": "val"}}


def published(results, count=40, **fields):
    contestants = [{"objective": "simclr" if k else "random"} for k in range(count)]
    records = [
        make_record({FG: k / 100}, overrides={"core.slots": k}, **each, **fields)
        for k, each in enumerate(contestants)
    ]
    name = fields.get("variant", "clevr6")
    write(results / "published" / f"{name}.json", records)


def own(results, **fields):
    add_seeds(results, FG, (0.5, 0.6, 0.7), **fields)
    add_seeds(results, FG, (0.8, 0.9, 0.95), objective="simclr", alignment="pool", **fields)


def own_and_published(results):
    published(results)
    own(results)


def failed_unevaluated_running_and_stale(results):
    own_and_published(results)
    for seed in range(3, 9):
        add_run(results, ALL, seed=seed, status=FAILED)
        add_run(results, seed=seed, objective="byol")
        add_run(results, seed=seed, objective="moco", status=make_status("interrupted"))
        add_run(results, ALL, seed=seed, objective="dino", **OF_VAL)


def many_own_datasets(results):
    for k in range(12):
        own(results, variant=f"size-{k}")
        published(results, 5, variant=f"size-{k}")


def many_published_datasets(results):
    for k in range(30):
        published(results, 3, variant=f"size-{k}")


def shipped(_):
    """The records that come with slotbench."""


FILLS = [(fill, None) for fill in (published, own_and_published, many_own_datasets)]
FILLS += [(failed_unevaluated_running_and_stale, None), (many_published_datasets, None)]
FILLS += [(shipped, None), (shipped, "clevr:clevr6")]


def page(results, dataset=None, **views):
    board = leaderboard(results, dataset=dataset)
    return board, text_of(board, 80, **views).splitlines()


@pytest.mark.parametrize(("fill", "dataset"), FILLS)
def test_the_page_has_25_lines_at_most_and_ends_with_the_answer(
    tmp_path, monkeypatch, fill, dataset
):
    if fill is shipped:
        monkeypatch.setenv("SLOTBENCH_PUBLISHED", str(SHIPPED))
    fill(tmp_path)
    board, lines = page(tmp_path, dataset)
    assert 10 < len(lines) <= MOST_LINES == 25
    assert max(map(len, lines)) <= 80
    # The verdict may leave no room for its evidence.
    endings = (board.verdict.sentence, f"{board.verdict.headline} The evidence: add --wide.")
    assert " ".join(lines).endswith(endings)
    whole = page(tmp_path, dataset, wide=True, everything=True)[1]
    assert " ".join(whole).endswith(board.verdict.sentence)


def test_lines_count_what_is_left_out_and_say_which_option_shows_it(tmp_path):
    failed_unevaluated_running_and_stale(tmp_path)
    text = "\n".join(page(tmp_path)[1])
    for line in (
        "6 notes on these rows: add --wide",
        "6 runs are not evaluated. Type: slotbench evaluate ",
        "Left out: 6 results of runs here: add --wide",
        "Not finished, so not counted: 6 interrupted.",
    ):
        assert line in text
    assert f" --results-dir {tmp_path}" in " ".join(text.split())
    wide = " ".join(page(tmp_path, wide=True)[1])
    assert "seed 3 failed: no memory left" in wide
    assert "and 3 more runs with the same problem" in wide


def test_own_datasets_come_first_and_others_are_counted(tmp_path):
    published(tmp_path, 30, variant="clevr10")
    own(tmp_path)
    lines = page(tmp_path)[1]
    assert "30 more rows on 1 other dataset: add --all" in lines
    assert not any("clevr10" in line for line in lines)
    everything = page(tmp_path, everything=True)[1]
    assert sum(line.startswith(("simclr", "random", "reconstruction ")) for line in everything) > 30
    assert "more row" not in "\n".join(everything)


def test_without_own_runs_the_dataset_where_most_rows_have_seeds_is_shown(tmp_path):
    published(tmp_path, 10, variant="clevr10")
    steps, untrained = {"train.steps": 9}, make_status(step=0, steps=0)
    records = [
        record
        for seed in range(3)
        for record in (
            make_record({FG: 0.5}, seed=seed, overrides=steps),
            make_record({FG: 0.4}, seed=seed, objective="byol", overrides=steps),
            {**make_record({FG: 0.1}, seed=seed, objective="random"), "status": untrained},
        )
    ]
    write(tmp_path / "published" / "clevr6.json", records)
    title, shared, _, *rows = page(tmp_path)[1]
    assert title.startswith("clevr:clevr6")
    assert "10 more rows on 1 other dataset: add --all" in rows
    # An untrained core has no steps; all others share them.
    assert "steps=9" in shared
    assert [row.split("  ")[0] for row in rows[:3]] == ["reconstruction", "byol", "random"]


def test_own_rows_those_of_the_verdict_and_controls_stay_longest(tmp_path):
    published(tmp_path)
    add_run(tmp_path, {FG: 0.01}, objective="byol")
    lines = page(tmp_path)[1]
    rows = [line.split()[0].rstrip(",") for line in lines if "†" in line[:40] or "byol" in line]
    assert (rows[0], rows[-1]) == ("byol", "random")
    assert len(rows) > 10
    left = 41 - len(rows)
    assert any(line == f"{left} more rows: add --all" for line in lines)


def test_rows_of_the_verdict_come_before_a_control_that_scores_more(tmp_path):
    contestants = (("reconstruction", 0.8), ("byol", 0.9), ("simclr", 0.5), ("supervised", 0.99))
    records = [
        make_record({FG: score + seed / 1000}, objective=objective, seed=seed)
        for objective, score in contestants
        for seed in range(3)
    ]
    write(tmp_path / "published" / "clevr6.json", records)
    rows = in_order(leaderboard(tmp_path))
    assert [row.objective for row in rows] == ["byol", "reconstruction", "supervised", "simclr"]

"""What is compared with what, and what a filter leaves."""

from pathlib import Path
from typing import Any

import pytest

from slotbench.errors import UserError
from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.comparisons import METRICS
from slotbench.results.leaderboard.wording import comparison_lines
from tests.results.results import ALL, add_run, add_seeds, make_status, text_of


def add_pair(results: Path, ours: list[float], theirs: list[float], **fields: Any) -> None:
    numbers = [dict.fromkeys(METRICS, value) for value in theirs]
    for seed, cells in enumerate(numbers):
        add_run(results, {**cells, "fg_ari/decoder": 0.9}, seed=seed, **fields)
    for seed, value in enumerate(ours):
        cells = dict.fromkeys(METRICS, value)
        add_run(results, cells, seed=seed, objective="simclr", alignment="pool", **fields)


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_no_claim_is_made(tmp_path: Path, seeds: int) -> None:
    add_pair(tmp_path, [0.9] * seeds, [0.1] * 5)
    board = leaderboard(tmp_path)
    for found in board.to_json()["comparisons"]:
        assert found["verdict"] == f"too few seeds to say ({seeds} of 3)"
        assert (found["low"], found["high"], found["p"], found["p_holm"]) == (None,) * 4
    assert f"too few seeds to say ({seeds} of 3)" in text_of(board)
    assert f"too few seeds to say ({seeds} of 3)" in board.to_markdown()


def test_rows_with_too_few_seeds_stand_in_one_line_after_those_that_say_something(
    tmp_path: Path,
) -> None:
    add_pair(tmp_path, [0.9, 0.8, 0.7], [0.1] * 5)
    for objective in ("byol", "moco"):
        add_run(tmp_path, dict.fromkeys(METRICS, 0.5), objective=objective, alignment="pool")
    lines = comparison_lines(leaderboard(tmp_path).comparisons)
    titles = [title.split(" against ")[0] for title, _ in lines]
    assert titles == ["simclr · pool", "byol · pool, moco · pool"]
    assert [len(found) for _, found in lines] == [len(METRICS), 1]
    assert lines[1][1] == ["too few seeds to say (1 of 3)"]


def test_pairs_are_those_of_the_same_seed(tmp_path: Path) -> None:
    # Seeds differ far more than objectives: only pairing shows the constant difference.
    theirs = [0.1, 0.3, 0.5, 0.7, 0.9, 0.2, 0.4, 0.6]
    ours = [value + 0.01 * (index + 1) / 8 for index, value in enumerate(theirs)]
    add_pair(tmp_path, ours[:7], theirs)
    found = leaderboard(tmp_path).to_json()["comparisons"]
    assert {item["metric"] for item in found} == set(METRICS)
    for item in found:
        assert item["seeds"] == list(range(7))
        assert item["difference"] == pytest.approx(0.01 * 28 / 8 / 7)
        assert item["probability_of_improvement"] == 1.0
        assert item["low"] > 0
        assert item["p"] == pytest.approx(2 / 2**7)
        assert item["p_holm"] == pytest.approx(4 * 2 / 2**7)
        assert item["verdict"] == "leans better, not significant"


def test_only_shared_seeds_are_pairs(tmp_path: Path) -> None:
    for seed in (0, 1, 2, 3):
        add_run(tmp_path, {METRICS[0]: 0.5}, seed=seed)
    for seed in (1, 2, 3, 4, 5):
        add_run(tmp_path, {METRICS[0]: 0.5 + 0.1 * seed}, seed=seed, objective="simclr")
    (found,) = leaderboard(tmp_path).to_json()["comparisons"]
    assert (found["seeds"], found["n"]) == ([1, 2, 3], 3)
    assert found["difference"] == pytest.approx(0.2)


def test_a_decoder_metric_is_never_compared(tmp_path: Path) -> None:
    add_pair(tmp_path, [0.2] * 3, [0.1] * 3)
    document = leaderboard(tmp_path).to_json()
    metrics = {item["metric"] for item in document["comparisons"] + document["families"]}
    assert metrics
    assert not any("decoder" in metric for metric in metrics)


@pytest.mark.parametrize(
    "fields",
    [
        {"preset": "base"},
        {"variant": "clevr10"},
        {"overrides": {"train.steps": 1000}},
        {"overrides": {"core.slot_init": "gaussian"}},
        {"core": "slot-mlp"},
        {"origin": "original"},
        {"steps": 1000},
    ],
)
def test_only_rows_of_the_same_set_up_are_compared(tmp_path: Path, fields: dict[str, Any]) -> None:
    for seed in range(3):
        add_run(tmp_path, {METRICS[0]: 0.5}, seed=seed)
        add_run(tmp_path, {METRICS[0]: 0.6}, seed=seed, objective="simclr", **fields)
    board = leaderboard(tmp_path)
    assert board.to_json()["comparisons"] == []
    assert "nothing to compare yet" in text_of(board)


def test_settings_of_the_objective_itself_do_not_part_a_pair(tmp_path: Path) -> None:
    for seed in range(3):
        add_run(tmp_path, {METRICS[0]: 0.5}, seed=seed)
        add_run(tmp_path, {METRICS[0]: 0.1}, seed=seed, overrides={"decoder.channels": 8})
        add_run(
            tmp_path,
            {METRICS[0]: 0.6},
            seed=seed,
            objective="simclr",
            overrides={"objective.temperature": 0.2},
        )
    (found,) = leaderboard(tmp_path).to_json()["comparisons"]
    # Against reconstruction as the preset has it, not against its variant.
    assert (found["settings"], found["against_settings"]) == ("objective.temperature=0.2", "")
    assert found["difference"] == pytest.approx(0.1)


def test_the_family_as_a_whole_counts_a_seed_of_reconstruction_once(tmp_path: Path) -> None:
    metric = METRICS[0]
    add_seeds(tmp_path, metric, [0.5, 0.5, 0.5, 0.5])
    add_seeds(tmp_path, metric, [0.6, 0.7, 0.8, 0.9], objective="simclr", alignment="hungarian")
    add_seeds(tmp_path, metric, [0.4, 0.4, 0.4], objective="simclr", alignment="pool")
    add_seeds(tmp_path, metric, [0.0], objective="simclr", alignment="shared")
    family = leaderboard(tmp_path).to_json()["families"][0]
    # Seeds 0 to 2, over two rows: (0.1 - 0.1) / 2, (0.2 - 0.1) / 2, (0.3 - 0.1) / 2.
    assert (family["metric"], family["rows"], family["n"]) == (metric, 2, 3)
    assert family["difference"] == pytest.approx(0.05)
    assert family["probability_of_improvement"] == pytest.approx((0.5 + 1 + 1) / 3)


def test_filters_change_no_number(tmp_path: Path) -> None:
    add_pair(tmp_path, [0.1, 0.3, 0.2, 0.6, 0.5], [0.2, 0.4, 0.4, 0.7, 0.9])
    add_pair(
        tmp_path, [0.9, 0.8, 0.7, 0.6, 0.8, 0.7], [0.1, 0.2, 0.3, 0.5, 0.2, 0.2], variant="clevr10"
    )
    whole = leaderboard(tmp_path).to_json()
    part = leaderboard(
        tmp_path, dataset="clevr:clevr10", family="self-supervised", metrics=["linear_probe"]
    ).to_json()
    (row,) = part["rows"]
    (same,) = [
        other
        for other in whole["rows"]
        if (other["dataset"], other["objective"]) == ("clevr:clevr10", "simclr")
    ]
    assert row["metrics"] == {METRICS[3]: same["metrics"][METRICS[3]]}
    assert part["comparisons"] == [
        item for item in whole["comparisons"] if item["dataset"] == "clevr:clevr10"
    ]
    assert leaderboard(tmp_path).to_json() == whole


def test_no_results_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="slotbench train"):
        leaderboard(tmp_path / "nowhere")
    add_run(tmp_path, status=make_status("interrupted"))
    with pytest.raises(UserError, match="1 interrupted"):
        leaderboard(tmp_path)


def test_filters_choose_rows_and_metrics(tmp_path: Path) -> None:
    numbers = {
        "fg_ari/decoder": 0.9,
        "fg_ari/attention": 0.8,
        "ari/decoder": 0.7,
        "properties/linear/loss/mean/dropped": 0.6,
        "properties/linear/loss/mean": 0.6,
        "properties/linear/loss/color": 0.5,
    }
    add_run(tmp_path, numbers)
    add_run(tmp_path, numbers, objective="random")
    add_run(tmp_path, numbers, name="multi-dsprites", variant="binarized")

    def found(**wishes: Any) -> list[tuple[str, str]]:
        rows = leaderboard(tmp_path, **wishes).to_json()["rows"]
        return [(row["dataset"], row["objective"]) for row in rows]

    both = [("clevr:clevr6", "reconstruction"), ("clevr:clevr6", "random")]
    assert found(dataset="clevr") == found(dataset="clevr:clevr6") == both
    assert found(family="control") == [("clevr:clevr6", "random")]
    assert len(found(core="slot-attention")) == 3

    def keys(*wishes: str) -> list[str]:
        return list(leaderboard(tmp_path, metrics=wishes).to_json()["rows"][0]["metrics"])

    assert keys("fg_ari/attention") == ["fg_ari/attention"]
    assert keys("properties/linear/loss/mean") == ["properties/linear/loss/mean"]
    assert keys("properties", "fg_ari/decoder") == [
        "properties/linear/loss/color",
        "properties/linear/loss/mean",
        "properties/linear/loss/mean/dropped",
        "fg_ari/decoder",
    ]
    assert keys("ari,fg_ari/") == ["ari/decoder", "fg_ari/attention", "fg_ari/decoder"]
    assert sorted(keys("all")) == sorted(keys()) == sorted(numbers)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"dataset": "clevr:clever6"}, "Did you mean 'clevr:clevr6'"),
        ({"metrics": ["fg_ary/decoder"]}, "Did you mean 'fg_ari/decoder'"),
        ({"metrics": ["fg"]}, "metric 'fg'"),
        ({"core": "slot-atention"}, "Did you mean 'slot-attention'"),
        ({"family": "self-supervise"}, "Did you mean 'self-supervised'"),
        ({"dataset": "clevr", "family": "self-supervised"}, "--dataset clevr"),
        ({"dataset": "nowhere/file.h5"}, "No dataset at nowhere/file.h5"),
    ],
)
def test_a_wish_that_nothing_fits_names_the_nearest(
    tmp_path: Path, wishes: dict[str, Any], words: str
) -> None:
    add_run(tmp_path, ALL)
    add_run(tmp_path, ALL, objective="simclr", name="other")
    with pytest.raises(UserError) as caught:
        leaderboard(tmp_path, **wishes)
    assert words in caught.value.message

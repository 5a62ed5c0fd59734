"""What is compared with what, and what a filter leaves."""

import itertools

import pytest

from slotbench.errors import UserError
from slotbench.results.leaderboard import leaderboard
from slotbench.results.leaderboard.comparisons import METRICS
from slotbench.results.leaderboard.wording import comparison_lines
from tests.results.results import add_run, make_config, make_evaluation, make_status, text_of, write


def add_pair(results, ours, theirs, **fields):
    for seed, value in enumerate(theirs):
        cells = {**dict.fromkeys(METRICS, value), "fg_ari/decoder": 0.9}
        add_run(results, cells, seed=seed, **fields)
    for seed, value in enumerate(ours):
        cells = dict.fromkeys(METRICS, value)
        add_run(results, cells, seed=seed, objective="simclr", alignment="pool", **fields)


def test_rows_with_too_few_seeds_stand_in_one_line_after_those_that_say_something(tmp_path):
    add_pair(tmp_path, [0.9, 0.8, 0.7], [0.1] * 5)
    for objective in ("byol", "moco"):
        add_run(tmp_path, dict.fromkeys(METRICS, 0.5), objective=objective, alignment="pool")
    lines = comparison_lines(leaderboard(tmp_path).comparisons)
    titles = [title.split(" against ")[0] for title, _ in lines]
    assert titles == ["simclr · pool", "byol · pool, moco · pool"]
    assert [len(found) for _, found in lines] == [len(METRICS), 1]
    assert "3 pairs, greater in 100 % of pairs, p = 0.100: undecided" in lines[0][1][0]
    assert lines[1][1] == ["too few seeds to say (1 of 3)"]


def test_pairs_are_the_shared_seeds_and_no_decoder_metric_is_compared(tmp_path):
    for seed in (0, 1, 2, 3):
        add_run(tmp_path, {METRICS[0]: 0.5, "fg_ari/decoder": 0.9}, seed=seed)
    for seed in (1, 2, 3, 4, 5):
        add_run(tmp_path, {METRICS[0]: 0.5 + 0.1 * seed}, seed=seed, objective="simclr")
    (found,) = leaderboard(tmp_path).to_json()["comparisons"]
    assert (found["seeds"], found["n"], found["share_of_pairs"]) == ([1, 2, 3], 3, 1.0)
    assert found["difference"] == pytest.approx(0.2)


DIFFERENT = {
    "data": {"variant": "clevr10"},
    "origin": {"origin": "original"},
    "image size": {"size": 128},
    "budget": {"steps": 1000},
}
ALIKE = {
    "preset": {"preset": "tuned"},
    "core": {"core": "slot-mlp"},
    "learning rate": {"learning_rate": 1e-4},
    "core's field": {"overrides": {"core.slot_init": "gaussian"}},
    "encoder's field": {"overrides": {"encoder.channels": 64}},
    "objective's field": {"overrides": {"objective.temperature": 0.2}},
    "steps for batch size": {"steps": 6000, "overrides": {"train.batch_size": 16}},
}


@pytest.mark.parametrize("name", [*DIFFERENT, *ALIKE])
def test_contestants_share_data_image_size_and_budget_and_nothing_else(tmp_path, name):
    fields = {**DIFFERENT, **ALIKE}[name]
    for seed in range(3):
        add_run(tmp_path, {METRICS[0]: 0.5}, seed=seed)
        add_run(tmp_path, {METRICS[0]: 0.6}, seed=seed, objective="simclr", **fields)
    board = leaderboard(tmp_path)
    compared = board.to_json()["comparisons"]
    assert len(compared) == len(board.families) == (name in ALIKE)
    assert ("nothing to compare yet" in text_of(board)) == (name in DIFFERENT)


def test_rendered_data_joins_by_recipe_and_originals_by_content(tmp_path):
    for seed, (origin, content) in enumerate(itertools.product(("rendered", "original"), "ab")):
        run = add_run(tmp_path, {}, seed=seed, origin=origin)
        config = make_config(seed=seed, origin=origin)
        config["dataset"] |= {"fingerprint": content, "recipe": "the same"}
        write(run / "config.json", config)
        write(run / "evaluation.json", make_evaluation(config, {METRICS[0]: 0.5}))
    rows = leaderboard(tmp_path).to_json()["rows"]
    assert sorted((row["origin"], row["seed_list"]) for row in rows) == [
        ("original", [2]),
        ("original", [3]),
        ("rendered", [0, 1]),
    ]


def test_the_baseline_is_the_nearest_and_of_several_the_best(tmp_path):
    for seed in range(3):
        add_run(tmp_path, {METRICS[0]: 0.5}, seed=seed)
        add_run(tmp_path, {METRICS[0]: 0.6}, seed=seed, overrides={"decoder.channels": 8})
        add_run(tmp_path, {METRICS[0]: 0.9}, seed=seed, core="slot-mlp")
        for core in ("slot-attention", "iterated"):
            add_run(tmp_path, {METRICS[0]: 0.7}, seed=seed, objective="simclr", core=core)
    found = leaderboard(tmp_path).to_json()["comparisons"]
    assert [(each["core"], each["against_core"], each["against_settings"]) for each in found] == [
        ("iterated", "slot-mlp", ""),
        ("slot-attention", "slot-attention", "decoder.channels=8"),
    ]


def test_filters_change_no_number(tmp_path):
    add_pair(tmp_path, [0.1, 0.3, 0.2, 0.6, 0.5], [0.2, 0.4, 0.4, 0.7, 0.9])
    add_pair(tmp_path, [0.9, 0.8, 0.7, 0.6, 0.8], [0.1, 0.2, 0.3, 0.5, 0.2], variant="clevr10")
    whole = leaderboard(tmp_path).to_json()
    wish = {"dataset": "clevr:clevr10", "family": "self-supervised", "metrics": ["linear_probe"]}
    part = leaderboard(tmp_path, **wish).to_json()
    (row,) = part["rows"]
    same = {(other["dataset"], other["objective"]): other["metrics"] for other in whole["rows"]}
    key = "linear_probe/slots/map"
    assert row["metrics"] == {key: same["clevr:clevr10", "simclr"][key]}
    there = [item for item in whole["comparisons"] if item["dataset"] == "clevr:clevr10"]
    assert part["comparisons"] == there


def test_no_results_says_what_to_type(tmp_path):
    with pytest.raises(UserError, match="slotbench train"):
        leaderboard(tmp_path / "nowhere")
    add_run(tmp_path, status=make_status("interrupted"))
    with pytest.raises(UserError, match="1 interrupted"):
        leaderboard(tmp_path)


def test_filters_choose_rows_and_metrics(tmp_path):
    mean = "properties/linear/loss/mean"
    keys = ["fg_ari/decoder", "fg_ari/attention", "ari/decoder", mean, f"{mean}/dropped"]
    numbers = dict.fromkeys([*keys, "properties/linear/loss/color"], 0.5)
    add_run(tmp_path, numbers)
    add_run(tmp_path, numbers, objective="random")
    add_run(tmp_path, numbers, name="multi-dsprites", variant="binarized")

    def found(**wishes):
        rows = leaderboard(tmp_path, **wishes).to_json()["rows"]
        return [(row["dataset"], row["objective"]) for row in rows]

    both = [("clevr:clevr6", "reconstruction"), ("clevr:clevr6", "random")]
    assert found(dataset="clevr") == found(dataset="clevr:clevr6") == both
    assert found(family="control") == both[1:]
    assert len(found(core="slot-attention")) == 3

    def chosen(*wishes):
        return list(leaderboard(tmp_path, metrics=wishes).to_json()["rows"][0]["metrics"])

    for key in ("fg_ari/attention", mean):
        assert chosen(key) == [key]
    properties = ["properties/linear/loss/color", mean, f"{mean}/dropped"]
    assert chosen("properties", "fg_ari/decoder") == [*properties, "fg_ari/decoder"]
    assert chosen("ari,fg_ari/") == ["ari/decoder", "fg_ari/attention", "fg_ari/decoder"]
    assert sorted(chosen("all")) == sorted(chosen()) == sorted(numbers)

"""DCI: what a perfect code, a rotated one and noise score, and what an independent count gives."""

import numpy as np
import pytest
from scipy.stats import entropy, ortho_group
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.metrics import r2_score

from slotbench.datasets.format.schema import Property
from slotbench.evaluation import dci as module
from slotbench.evaluation.dci import Codes, completeness, dci, disentanglement, matched_codes
from slotbench.evaluation.slot_probes import SlotData

SHAPE = Property("shape", "categorical", classes=("a", "b", "c"))
POSITION = Property("position", "numeric", dim=2)
PROPERTIES = (SHAPE, POSITION)


def factors(m, seed):
    generator = np.random.default_rng(seed)
    return {
        "shape": generator.integers(0, 3, m).astype(np.int16),
        "position": generator.uniform(-3, 3, (m, 2)).astype(np.float32),
    }


def make(m, seed, code):
    made = factors(m, seed)
    return Codes(code(made).astype(np.float32), made, np.arange(m) // 3)


def axes(made):
    """One dimension a factor, and three of noise."""
    noise = np.random.default_rng(9).normal(size=(len(made["shape"]), 3))
    return np.column_stack([made["shape"] - 1, made["position"] / 2, noise])


def score(code, **options):
    train, test = make(400, 0, code), make(300, 1, code)
    return {key: got.value for key, got in dci(train, test, PROPERTIES, seed=0, **options).items()}


def test_one_dimension_a_factor_scores_1_and_a_rotation_mixes_the_factors():
    turn = ortho_group.rvs(6, random_state=3)
    straight, turned = score(axes), score(lambda made: axes(made) @ turn)
    for name in ("disentanglement", "completeness"):
        assert straight[name] > 0.97
        assert turned[name] < straight[name] - 0.3
    assert straight["informativeness"] > 0.9
    assert turned["informativeness"] > 0.3


def test_entropies_are_those_of_scipy_from_0_to_1():
    matrix = np.random.default_rng(0).random((5, 4))
    rows = 1 - entropy(matrix, axis=1, base=4)
    expected = np.average(rows, weights=matrix.sum(axis=1))
    assert disentanglement(matrix) == pytest.approx(expected)
    assert completeness(matrix) == pytest.approx((1 - entropy(matrix, axis=0, base=5)).mean())
    for measure in (disentanglement, completeness):
        assert measure(np.eye(4)) == pytest.approx(1)
        assert measure(np.ones((4, 4))) == pytest.approx(0)
    assert np.isnan(disentanglement(np.ones((4, 1))))
    assert np.isnan(completeness(np.ones((1, 4))))
    # Dimensions that nothing uses have no say.
    assert disentanglement(np.vstack([np.eye(3), np.zeros((5, 3))])) == pytest.approx(1)


def test_informativeness_is_r2_and_kappa_against_the_majority():
    generator = np.random.default_rng(2)
    test = make(200, 2, axes)
    test.factors["shape"][:120] = 1
    truth = test.factors["position"][:, 1].astype(float)
    guess = truth + generator.normal(size=200)
    sums = module._totals(guess, truth, test.image).sum(axis=0, keepdims=True)
    assert module._skill(True, sums)[0] == pytest.approx(r2_score(truth, guess))
    shape = test.factors["shape"]
    labels = np.where(generator.random(200) < 0.2, 2, shape)
    sums = module._totals(labels, shape, test.image).sum(axis=0, keepdims=True)
    wrong, counts = (labels != shape).sum(), np.bincount(shape)
    assert module._skill(False, sums)[0] == pytest.approx(1 - wrong / (200 - counts.max()))


def test_importances_are_the_gains_of_the_splits():
    """Beside scikit-learn's exact trees, which have ``feature_importances_``."""
    generator = np.random.default_rng(4)
    codes = generator.normal(size=(1500, 5))
    values = 2 * codes[:, 0] + codes[:, 3] + 0.1 * generator.normal(size=1500)
    exact = GradientBoostingRegressor(n_estimators=50, max_depth=3).fit(codes, values)
    ours = HistGradientBoostingRegressor(early_stopping=False, **module.TREES).fit(codes, values)
    found = module._importances(ours, 5)
    np.testing.assert_allclose(found, exact.feature_importances_, atol=0.02)
    assert found.sum() == pytest.approx(1)


def test_the_result_depends_on_the_seed_alone_and_has_an_interval(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 100)
    train, test = (
        make(150, seed, lambda made: axes(made) + axes(made)[:, ::-1]) for seed in (0, 1)
    )
    first, again, other = (dci(train, test, PROPERTIES, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["disentanglement"].value != other["disentanglement"].value
    got = first["informativeness"]
    assert got.low < got.value < got.high
    assert (got.n, got.left_out) == (150, 0)


def test_constant_factors_are_left_out_and_counted():
    train, test = make(120, 0, axes), make(60, 1, axes)
    train.factors["shape"][:] = 2
    found = dci(train, test, PROPERTIES, seed=0)
    assert {got.left_out for got in found.values()} == {1}
    nothing = dci(train, test, (SHAPE,), seed=0)
    assert {got.value for got in nothing.values()} == {None}


def test_each_object_gets_the_slot_of_its_mask():
    slots = np.arange(2 * 3 * 1, dtype=np.float32).reshape(2, 3, 1)
    overlap = np.zeros((2, 3, 4), np.float32)
    overlap[0, 2, 0] = overlap[0, 0, 3] = overlap[1, 1, 1] = 1
    visible = np.zeros((2, 4), bool)
    visible[0, [0, 3]] = visible[1, 1] = True
    shape = np.arange(8, dtype=np.int16).reshape(2, 4)
    found = matched_codes(SlotData(slots, overlap, visible, {"shape": shape}))
    assert found.codes[:, 0].tolist() == [2, 0, 4]
    assert found.factors["shape"].tolist() == [0, 3, 5]
    assert found.image.tolist() == [0, 0, 1]
    # Four objects and three slots: one is left out.
    everything = SlotData(slots, overlap, np.ones((2, 4), bool), {"shape": shape})
    assert len(matched_codes(everything).codes) == 6

"""Scene-level probes: what they find, against scikit-learn where it has the same thing."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier

from slotbench.datasets.format.schema import Layout, Property
from slotbench.errors import SlotbenchError
from slotbench.evaluation import linear_probe as probes
from slotbench.evaluation.linear_probe import SceneData, knn_count, linear_probe, scene_labels


def make(n, seed, noise=0.1):
    """Scenes of 1 to 3 objects of 5 classes; the last class is in every scene."""
    generator = np.random.default_rng(seed)
    present = generator.random((n, 5)) < (0.3, 0.5, 0.7, 0.5, 2)
    count = generator.integers(1, 4, n)
    features = np.concatenate([present[:, :4], np.eye(4)[count] * 2], axis=1) * 3 - 1
    features = features @ np.random.default_rng(9).normal(size=(8, 8))
    features = features + noise * generator.normal(size=features.shape)
    return SceneData(features.astype(np.float32), present, count)


def test_features_that_hold_the_answer_score_1():
    results = linear_probe(make(300, 0), make(80, 1), make(120, 2), seed=0)
    assert results["map"].value > 0.999
    assert (results["map"].n, results["map"].left_out) == (4, 1)
    assert results["count"].value > 0.99
    assert results["count"].n == 120


def test_one_count_in_train_is_predicted_for_all_and_no_class_gives_no_value():
    splits = [make(60, seed) for seed in range(3)]
    splits[0].count[:] = 2
    for data in splits:
        data.present = data.present[:, :0]
    found = linear_probe(*splits, seed=0)
    assert found["count"].value == (splits[2].count == 2).mean()
    assert found["map"].value is None


def test_a_fit_that_does_not_converge_is_an_error(monkeypatch):
    monkeypatch.setattr(probes, "MAX_ITERATIONS", 1)
    with pytest.raises(SlotbenchError, match="did not converge") as caught:
        linear_probe(make(100, 0), make(50, 1), make(50, 2), seed=0)
    assert isinstance(caught.value.__cause__, ConvergenceWarning)


def test_neighbours_vote_as_in_scikit_learn():
    train, test = make(200, 0, noise=15), make(700, 1, noise=15)

    def weights(distance):
        # scikit-learn's cosine distance is 1 - similarity.
        return np.exp((1 - distance) / probes.TEMPERATURE)

    model = KNeighborsClassifier(probes.NEIGHBOURS, metric="cosine", weights=weights)
    expected = model.fit(train.features, train.count).score(test.features, test.count)
    result = knn_count(train, test, seed=0)
    assert 0.4 < expected < 0.99
    assert result.value == pytest.approx(expected, abs=2e-3)
    few = SceneData(train.features[:5], train.present[:5], train.count[:5])
    assert knn_count(few, test, seed=0).n == 700


def test_scene_labels_are_those_of_visible_objects():
    color = Property("color", "categorical", classes=("red", "blue"))
    shape = Property("shape", "categorical", classes=("cube", "ball", "cone"))
    layout = Layout(8, 8, 3, (color, Property("depth", "numeric"), shape))
    properties = {
        "color": np.array([[0, 1, -1], [1, 1, 0]], np.int16),
        "depth": np.zeros((2, 3), np.float32),
        "shape": np.array([[2, 0, -1], [1, 1, 0]], np.int16),
    }
    visible = np.array([[True, False, False], [True, True, True]])
    got = scene_labels(layout, properties, visible)
    assert got.astype(int).tolist() == [[1, 0, 0, 0, 1], [1, 1, 1, 1, 0]]

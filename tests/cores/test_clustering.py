"""Cores that fit a mixture or clusters, and the baselines without competition."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as ReferenceKMeans
from sklearn.mixture import GaussianMixture

from slotbench.config.run_config import with_field
from slotbench.cores.baseline_cores import GlobalConfig, assignment, means, starting_centres
from slotbench.cores.slot_mixture import Mixture, log_densities, responsibilities
from slotbench.errors import UserError
from tests.cores.test_contract import draw, make, normal


def mixture():
    return Mixture(
        normal(2, 4, 16, key="mean"),
        normal(2, 4, 16, key="variance").exp(),
        normal(2, 4, key="weight").log_softmax(dim=1),
    )


def test_responsibilities_and_densities_are_scikit_learn_s():
    points, given = normal(2, 30, 16, key="points"), mixture()
    found = zip(responsibilities(points, given), log_densities(points, given), strict=True)
    for image, (shares, densities) in enumerate(found):
        model, x = GaussianMixture(4, covariance_type="diag"), points[image].numpy()
        model.weights_ = given.log_weight[image].exp().numpy()
        model.means_, variances = given.mean[image].numpy(), given.variance[image].numpy()
        model.covariances_, model.precisions_cholesky_ = variances, variances**-0.5
        np.testing.assert_allclose(shares.numpy(), model.predict_proba(x).T, atol=1e-12)
        np.testing.assert_allclose(densities.logsumexp(dim=0).numpy(), model.score_samples(x))


@pytest.mark.parametrize("refined", [0.0, 0.3])
def test_a_round_is_em_where_the_network_only_moves_the_means(refined):
    """The variance is about the moved mean."""
    core = make("slot-mixture", smallest_variance=0.25).double()
    core.gru.forward, core.mlp.forward = lambda update, _: update + refined, torch.zeros_like
    points, given = normal(2, 60, 16, key="points"), mixture()
    shares = responsibilities(points, given)
    found = core.maximise(points, shares, given.mean)
    for image in range(2):
        x, weights = points[image].numpy(), shares[image].numpy()
        for k in range(4):
            mean = np.average(x, axis=0, weights=weights[k]) + refined
            variance = np.average((x - mean) ** 2, axis=0, weights=weights[k]) + 0.25
            np.testing.assert_allclose(found.mean[image, k], mean, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(found.variance[image, k], variance, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.log_weight[image].exp(), weights.mean(axis=1))


def test_kmeans_is_scikit_learn_s_from_the_same_start():
    core = make("kmeans", iterations=40)
    images, noise = draw(core, 4)
    assert noise is not None
    slots, attention, features = core(images, noise)
    starts = starting_centres(features, (8, 8), noise)
    for image in range(4):
        points = features[image].detach().numpy()
        init = starts[image].detach().numpy()
        model = ReferenceKMeans(4, init=init, n_init=1, max_iter=40, tol=0, algorithm="lloyd")
        model.fit(points)
        assert attention[image].flatten(1).argmax(dim=0).tolist() == model.labels_.tolist()
        expected = core.to_slot(torch.from_numpy(model.cluster_centers_))
        torch.testing.assert_close(slots[image], expected, atol=1e-4, rtol=1e-4)


def test_centres_start_from_the_features_where_the_noise_says():
    # Features that are their own coordinates: interpolation gives the place itself.
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    points = torch.stack([(y + 0.5) / 2 - 1, (x + 0.5) / 3 - 1], dim=2).view(1, 24, 2)
    noise = torch.tensor([[[0.0, 0.0], [0.3, -0.5]]])
    place = torch.erf(noise / 2**0.5)
    torch.testing.assert_close(starting_centres(points, (4, 6), noise), place)


def test_an_empty_cluster_keeps_its_centre_and_ties_go_to_the_first():
    points = normal(1, 5, 3, key="points")
    centres = torch.stack([points[0, 0], points[0, 0], torch.full((3,), 50.0).double()])[None]
    shares = assignment(points, centres)
    assert shares.sum(dim=2).tolist() == [[5.0, 0.0, 0.0]]
    found = means(points, shares, centres)
    torch.testing.assert_close(found[0, 0], points[0].mean(dim=0))
    assert torch.equal(found[0, 1:], centres[0, 1:])


def test_the_gradient_of_a_mean_is_shared_by_its_cluster():
    core = make("kmeans")
    images, noise = draw(core)
    slots, attention, features = core(images, noise)
    (found,) = torch.autograd.grad(slots.sum(), features)
    member = attention.flatten(2)
    share = (member / member.sum(dim=2, keepdim=True).clamp(min=1)).sum(dim=1)
    expected = share[:, :, None] * core.to_slot.weight.sum(dim=0)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_the_mlp_attends_to_all_positions_alike():
    core = make("slot-mlp")
    assert torch.equal(core(*draw(core)).attention, torch.full((2, 4, 8, 8), 0.25))


@pytest.mark.parametrize(("slots", "said"), [("7", "7"), ("none", "None")])
def test_the_global_core_has_one_slot(slots, said):
    assert make("global").num_slots == 1
    with pytest.raises(UserError, match=rf"core\.slots={said}: expected 1.*one vector an image"):
        with_field("core", GlobalConfig(), "slots", slots)

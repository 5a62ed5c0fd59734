"""What all drawn datasets promise."""

import numpy as np
import pytest

from slotbench import registry
from tests.datasets.sources import RENDERED


@pytest.mark.parametrize("name", RENDERED)
def test_an_image_depends_on_seed_split_and_index_alone(name):
    kind = registry.get("datasets", name).load()
    for variant in kind.variants[:1] if name in ("clevr", "clevrtex") else kind.variants:
        dataset = kind(variant, 32, 3)
        whole = dataset.render("train", 0, 5)
        assert dataset.layout.check(whole) == 5
        for key, array in kind(variant, 32, 3).render("train", 3, 5).items():
            np.testing.assert_array_equal(array, whole[key][3:], err_msg=key)
        for other in (kind(variant, 32, 4).render("train", 0, 5), dataset.render("val", 0, 5)):
            assert (other["mask"] != whole["mask"]).any()

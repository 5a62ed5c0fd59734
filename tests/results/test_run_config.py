"""``config.json`` of another shape is one named problem, never a traceback."""

import json

import pytest

from slotbench.errors import UserError
from slotbench.results.run import Run
from tests.results.results import add_run


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [(None, "overrides", 5), ("dataset", "image_size", "x"), (None, "dataset", [])],
)
def test_a_config_of_another_shape_names_its_field(tmp_path, section, field, value):
    run = Run(add_run(tmp_path))
    document = json.loads(run.config_file.read_text())
    (document[section] if section else document)[field] = value
    run.config_file.write_text(json.dumps(document))
    with pytest.raises(UserError, match=field):
        run.config()

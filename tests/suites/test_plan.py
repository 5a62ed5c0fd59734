"""A suite's cells: runs like any other, each once."""

import h5py
import pytest

from slotbench import registry
from slotbench.cli import main
from slotbench.config.resolve import Choice, resolve
from slotbench.errors import UserError
from slotbench.results import work as workflow
from tests.suites import tiny


@pytest.fixture
def make(tmp_path, blocks):
    """The plan of a suite with these axes."""

    def planned(axes, fixed='[fixed]\npreset = "quick"\n'):
        head = 'name = "tiny"\nquestion = "Why?"\n'
        file = tiny.write(tmp_path, f"{head}{axes}\n", fixed)
        return tiny.planned(file, blocks, tmp_path / "results")

    return planned


def test_a_cell_is_the_run_that_its_words_train(make, tmp_path, blocks, monkeypatch):
    """What a cell tells the user to type resolves to the cell's own directory."""
    plan = make(
        '[axes]\nobjective = ["simclr", "reconstruction"]\nalignment = ["pool", "shared"]\n'
        'core.width = [8, 16]\ncore.gradient = ["last"]\nviews.crop = [[0.3, 0.9]]\nseed = [0, 3]'
    )
    assert "--results-dir" in plan.cells[0].words  # where tuned settings are looked for
    trained = []

    def carry_out(run, config, *_):
        run.create(config)
        trained.append(run.path.resolve())
        return run

    monkeypatch.setattr(workflow, "carry_out", carry_out)
    for cell in plan.cells:
        where = ["--data-dir", str(blocks), "--results-dir", str(tmp_path / "results")]
        monkeypatch.setattr("sys.argv", [*cell.words, *where, "--device", "cpu", "--no-evaluate"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    assert trained == [cell.run.path.resolve() for cell in plan.cells]


def test_what_a_cell_does_not_have_is_left_out_of_it(make):
    """Pairing means nothing to reconstruction, and a decoder's field nothing to SimCLR."""
    plan = make(
        '[axes]\nobjective = ["reconstruction", "simclr"]\nalignment = ["pool", "shared"]\n'
        "decoder.channels = [8, 16, 24]\n"
    )
    assert [dict(cell.values) for cell in plan.cells] == [
        *({"objective": "reconstruction", "decoder.channels": width} for width in (8, 16, 24)),
        *({"objective": "simclr", "alignment": name} for name in ("pool", "shared")),
    ]
    assert len({cell.key for cell in plan.cells}) == 5
    plan = make('[axes]\nencoder.name = ["cnn", "strided-cnn"]\nencoder.stride = [2, 4]\n')
    strided = [{"encoder.name": "strided-cnn", "encoder.stride": stride} for stride in (2, 4)]
    assert [dict(cell.values) for cell in plan.cells] == [{"encoder.name": "cnn"}, *strided]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("[axes]\ncore.widht = [8]", "Did you mean 'core.width'"),
        ("[axes]\nobjective = ['random']\ndecoder.channels = [8]", "no decoder"),
        ("[axes]\nobjective = ['random']\nalignment = ['pool']", "no objective"),
        ("[axes]\nobjective = ['simclr', 'cswm']", "follows frames"),
    ],
)
def test_a_mistake_is_found_before_anything_runs(make, axes, message):
    with pytest.raises(UserError, match=rf"tiny\.toml.*{message}"):
        make(axes)


def test_budgets_are_budgets_of_the_runs(make, info):
    plan = make(
        '[axes]\nbudget = ["64:images", "5:steps", "9:seconds", "1e9:flops"]\n',
        '[fixed]\npreset = "quick"\n"train.batch_size" = 8\n',
    )
    settings = [resolve(cell.choice, info).train for cell in plan.cells]
    assert [each.steps for each in settings[:2]] == [8, 5]
    assert [each.budget for each in settings] == ["", "", "9:seconds", "1000000000:flops"]


def test_a_dataset_that_is_not_there_is_named_with_what_to_type(make):
    plan = make(
        "seeds = 2\n[prepare]\nimage_size = 32\ndownload = true\nskip-damaged = false\n"
        '[axes]\ndataset = ["clevr", "multi-dsprites:binarized"]\n'
    )
    assert len(plan.cells) == 2
    assert plan.unprepared == {"multi-dsprites:binarized": 2}
    words = "slotbench prepare multi-dsprites:binarized --image-size 32 --download --data-dir"
    assert plan.prepare_commands() == [[*words.split(), str(plan.where.data_dir)]]


@pytest.mark.parametrize("name", registry.names("suites"))
def test_every_shipped_suite_can_be_run(name, tmp_path, blocks):
    data = tiny.data(tmp_path, blocks)
    suite = registry.get("suites", name).load()()
    plan = tiny.planned(suite, data, tmp_path)
    if "shifts" in plan.suite.prepare:
        words = "slotbench prepare clevr --shifts all --data-dir"
        assert plan.prepare_commands() == [[*words.split(), str(data)]]
        with h5py.File(data / "clevr.h5", "r+") as file:
            file.copy("test", "test-crop")
        plan = tiny.planned(suite, data, tmp_path)
    assert not plan.unprepared
    assert len(plan.cells) == len(plan.suite.combinations())
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)


def test_the_demo_is_what_the_three_commands_train(tmp_path, blocks, info):
    plan = tiny.planned(registry.get("suites", "demo").load()(), blocks, tmp_path)
    names = ("random", "simclr", "slot-infonce", "reconstruction")
    typed = [resolve(Choice(objective=name, preset="quick"), info).id for name in names]
    assert [cell.run.id for cell in plan.cells] == [f"0-{each}" for each in typed]

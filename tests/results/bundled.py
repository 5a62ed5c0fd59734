"""A small run that is trained, judged and published, for the tests of bundles."""

import hashlib
import json
import zipfile

from slotbench.results.bundle import MANIFEST
from tests.commands import run_command, sets

SMALL = (
    *["--preset", "quick", "--steps", "2", "--device", "cpu"],
    *sets("encoder.channels=8", "train.batch_size=8", "train.picture_every=0"),
)


def train_one(results, data):
    """A run with weights and the results of two groups; seconds of work."""
    places = ("--data-dir", str(data), "--results-dir", str(results))
    assert run_command("train", "--no-evaluate", *SMALL, *places) == 0
    (run,) = results.glob("runs/*/*/*")
    groups = ("--metrics", "segmentation,health", "--device", "cpu")
    assert run_command("evaluate", str(run), *groups, *places) == 0
    return run


def seal(bundle):
    """Write the manifest anew, as one who tampers would, for the files that are there."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"] = {
        path.relative_to(bundle).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def change(bundle, name, edit):
    """Edit a JSON file of the bundle's only run, and seal the bundle again."""
    (file,) = bundle.glob(f"runs/*/*/*/{name}")
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))
    seal(bundle)


def flip(file):
    """Change a bit of the last byte."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def zipped(bundle, out, *extra):
    """The folder as an archive, with what does not belong there."""
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(bundle).as_posix())
        for name, content in extra:
            archive.writestr(name, content)
    return out

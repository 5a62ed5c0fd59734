"""Where original files are published, as far as their authors or many users say so.

No checksums of these files are published: what is checked is their length, the checksum that the
server states (Google's storage does), and those inside of the files (gzip, TFRecord, zip).
"""

from slotbench.datasets.originals.download import Download

MULTI_OBJECT = "https://storage.googleapis.com/multi-object-datasets"
CLEVR = "https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip"
CLEVRTEX = "https://thor.robots.ox.ac.uk/datasets/clevrtex"


def multi_object(*files: str) -> tuple[Download, ...]:
    """Of DeepMind's multi_object_datasets: ``<folder>/<file>``."""
    return tuple(Download(f"{MULTI_OBJECT}/{file}") for file in files)


def objects_room() -> tuple[Download, ...]:
    names = ("train", "test_empty_room", "test_six_objects", "test_identical_color")
    return multi_object(*(f"objects_room/objects_room_{name}.tfrecords" for name in names))


def clevrtex(variant: str) -> tuple[Download, ...]:
    """The name of grassbg's archive is not sure: users write it differently."""
    if variant == "grassbg":
        return ()
    parts = [f"full_part{part}" for part in range(1, 6)] if variant == "full" else [variant]
    return tuple(Download(f"{CLEVRTEX}/clevrtex_{part}.tar.gz") for part in parts)

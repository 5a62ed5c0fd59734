"""Where original files are published.

Their authors publish few checksums. A download checks its length and the checksum that the server
states (Google's storage does); reading checks those inside the files (gzip, TFRecord, zip).
"""

import re
from dataclasses import dataclass

MULTI_OBJECT = "https://storage.googleapis.com/multi-object-datasets"
CLEVR = "https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip"
CLEVRTEX = "https://thor.robots.ox.ac.uk/datasets/clevrtex"


@dataclass(frozen=True)
class Download:
    """A published file."""

    url: str
    sha256: str | None = None
    """Hexadecimal; None where it is not published."""
    md5: str | None = None
    """Hexadecimal; used where there is no sha256."""
    size: int | None = None
    """Bytes; None where they are not published."""

    @property
    def name(self) -> str:
        """The file name at the end of the address."""
        return re.split("[?#]", self.url)[0].rsplit("/", 1)[-1]


def multi_object(*files: str) -> tuple[Download, ...]:
    """Files of DeepMind's multi_object_datasets: ``<folder>/<file>``."""
    return tuple(Download(f"{MULTI_OBJECT}/{file}") for file in files)


def objects_room() -> tuple[Download, ...]:
    """The published files of Objects Room."""
    names = ("train", "test_empty_room", "test_six_objects", "test_identical_color")
    return multi_object(*(f"objects_room/objects_room_{name}.tfrecords" for name in names))


def clevrtex(variant: str) -> tuple[Download, ...]:
    """None for grassbg, whose archive has several names in public code."""
    if variant == "grassbg":
        return ()
    parts = [f"full_part{part}" for part in range(1, 6)] if variant == "full" else [variant]
    return tuple(Download(f"{CLEVRTEX}/clevrtex_{part}.tar.gz") for part in parts)

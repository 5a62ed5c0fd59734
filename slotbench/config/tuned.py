"""Tuned settings: what ``slotbench tune`` found for each contestant of a dataset.

``results/tuning/tuned/<dataset>-<variant>.toml`` holds a table a contestant (a core, an objective
and its alignment), with its settings and their cost. ``--preset tuned`` reads it; slotbench ships
such files too, for contestants that are not in the user's.
"""

import json
import os
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import Field

from slotbench.errors import UserError
from slotbench.fields import LARGEST
from slotbench.files import Document, parse_document, read_bytes, write_whole
from slotbench.locks import changing

FOLDER, SHIPPED = Path("tuning/tuned"), Path(__file__).parent / "tuned"
"""The user's settings in the results folder, and the package's."""
RESULTS = Path("results")
MEND = "Mend the file, or move it away and tune again; --preset quick does without it."


class Tuned(Document):
    """The settings of one contestant, and their cost."""

    preset: str
    """The preset that the settings change."""
    settings: dict[str, str]
    """``section.field`` -> value, as ``--set`` takes it."""
    steps: int = Field(ge=1, le=LARGEST)
    """Steps of each trial."""
    trials: int = Field(ge=1, le=LARGEST)
    score: float
    """Mean of ``fg_ari/attention`` on val over the seeds of tuning."""
    seeds: tuple[int, ...] = Field(strict=False)
    date: str
    space: dict[str, str] = Field(default_factory=dict)
    """``section.field`` -> what was tried, in words; empty in files of earlier versions."""

    @property
    def overrides(self) -> tuple[str, ...]:
        """The settings as ``--set`` takes them."""
        return tuple(f"{field}={value}" for field, value in self.settings.items())


def key_of(core: str, objective: str, alignment: str | None) -> str:
    """A contestant's name in a file."""
    return "/".join(filter(None, (core, objective, alignment)))


@dataclass(frozen=True)
class Entry:
    """A contestant's table in a file. It is checked on its own: a bad one stops no other."""

    contestant: str
    file: Path
    table: object

    @cached_property
    def tuned(self) -> Tuned:
        """The settings; :class:`UserError` where the table is damaged."""
        try:
            return parse_document(self.table, Tuned, f"{self.file}: {self.contestant}")
        except UserError as error:
            raise UserError(error.message, MEND) from error


def read(name: str, variant: str, results_dir: Path = RESULTS) -> dict[str, Entry]:
    """Contestant -> its table; empty where none were tuned. :class:`UserError` for bad TOML."""
    shipped = _read(SHIPPED / f"{name}-{variant}.toml")
    return {**shipped, **_read(_file(name, variant, results_dir))}


def _read(file: Path) -> dict[str, Entry]:
    if not os.path.lexists(file):
        return {}
    try:
        tables = tomllib.loads(read_bytes(file).removeprefix(b"\xef\xbb\xbf").decode())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid TOML in UTF-8: {error}.", MEND) from error
    except UserError as error:
        raise UserError(error.message, MEND) from error
    return {key: Entry(key, file, table) for key, table in tables.items()}


def kept(name: str, variant: str, results_dir: Path = RESULTS) -> dict[str, Tuned]:
    """All settings of the user's file, which :func:`write` keeps. :class:`UserError` if damaged."""
    file = _file(name, variant, results_dir)
    return {key: entry.tuned for key, entry in _read(file).items()}


def _file(name: str, variant: str, results_dir: Path) -> Path:
    return results_dir / FOLDER / f"{name}-{variant}.toml"


def write(
    dataset: str, variant: str, contestant: str, tuned: Tuned, results_dir: Path = RESULTS
) -> Path:
    """Add or replace a contestant's settings in the user's folder; returns the file."""
    file = _file(dataset, variant, results_dir)
    with changing(file):
        lines = ["# Written by slotbench tune."]
        for key, each in sorted({**kept(dataset, variant, results_dir), contestant: tuned}.items()):
            document = each.model_dump(mode="json")
            parts = {name: document.pop(name) for name in ("settings", "space")}
            for title, table in (("", document), *((f".{key}", of) for key, of in parts.items())):
                lines += ["", f"[{_text(key)}{title}]"]
                lines += [f"{_text(name)} = {_text(value)}" for name, value in table.items()]
        write_whole(file, ("\n".join(lines) + "\n").encode(errors="replace"), follow=True)
    return file


def _text(value: object) -> str:
    """A value as TOML, which escapes strings as JSON does, but for pairs of surrogates."""
    return json.dumps(value, ensure_ascii=False)

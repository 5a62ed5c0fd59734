"""Files: written whole or not at all, read through one reader for every JSON document."""

import errno
import hashlib
import json
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, from_json

from slotbench.errors import SlotbenchError, UserError

MOST_BYTES = 256 * 2**20
"""Largest JSON document that is read."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_PLACES = {errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
_PLACES |= {errno.ENOTEMPTY}  # two processes replace one folder
_INFINITE = tuple(map(re.compile, (rb"e\+?\d{3}", rb"E\+?\d{3}", rb"NaN", rb"Infinity")))
"""Numbers that are not finite, or may exceed a float; patterns of one first letter are fast."""
_ENDINGS = (
    ".7z .bib .bz2 .csv .db .doc .docx .feather .gz .h5 .hdf5 .html .json .jsonl .md .npy .npz "
    ".ods .parquet .pdf .pkl .png .pt .rar .safetensors .sqlite .svg .tar .tex .tgz .toml .tsv "
    ".txt .xls .xlsx .xml .xz .yaml .zip .zst"
)
"""Endings of known formats."""
_SAID = {
    "missing": "is missing",
    **dict.fromkeys(
        ("model_type", "dict_type", "dict_attributes_type"), "expected keys and values"
    ),
}
"""Kind of a fault -> our words for it."""
MEND = "Mend the file, or move it away."
_MARK = b"\xef\xbb\xbf"
Model = TypeVar("Model", bound="Document")


class Document(BaseModel):
    """Base of the models of what slotbench reads: strict types, finite numbers.

    Unknown keys are kept: documents of newer versions can be read.
    """

    model_config = ConfigDict(
        strict=True, frozen=True, allow_inf_nan=False, extra="allow", protected_namespaces=()
    )


def read_bytes(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most ``most`` bytes; :class:`UserError` otherwise."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would block
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise UserError(f"{path} is not a regular file.")
    with os.fdopen(handle, "rb") as stream:
        if facts.st_size > most:
            raise UserError(f"{path} has {facts.st_size:,} bytes; expected at most {most:,}.")
        return stream.read(facts.st_size)


def sha256_of(path: Path) -> str:
    """The hash of a file's content, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path | str) -> Any:
    """The document in a file; :class:`UserError` where it is missing or no JSON."""
    return parse_json(read_bytes(path), str(path))


def parse_json(data: bytes | str, label: str) -> Any:
    """A JSON document; :class:`UserError` naming ``label`` for anything but strict JSON.

    NaN, infinite numbers, lone surrogates and deep nesting are refused.
    """
    data = data.encode() if isinstance(data, str) else data
    try:
        document = from_json(data.removeprefix(_MARK), allow_inf_nan=False)
        if _may_be_infinite(data):
            json.dumps(document, allow_nan=False)
    except ValueError as error:
        raise UserError(f"{label} is not valid JSON: {error}.", MEND) from error
    return document


def _may_be_infinite(data: bytes) -> bool:
    return any(pattern.search(data) for pattern in _INFINITE)


def read_document(path: Path | str, model: type[Model]) -> Model:
    """The document in a file as its model; :class:`UserError` naming the field that is off."""
    data = read_bytes(path).removeprefix(_MARK)
    if not _may_be_infinite(data):
        with suppress(ValidationError):  # explained below
            return model.model_validate_json(data)
    return parse_document(parse_json(data, str(path)), model, str(path))


def parse_document(document: Any, model: type[Model], label: str, advice: str = MEND) -> Model:
    """A parsed document as its model; :class:`UserError` naming ``label`` and the field."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        errors, faults = error.errors(), dict[str, list[str]]()
        for each in errors:
            faults.setdefault(_place(document, each), []).append(_said(each))
        first = errors[0]
        field, said = next((place, " or ".join(several)) for place, several in faults.items())
        said = said.replace(" or should be ", " or ")
        more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
        if first["loc"] == ("schema",) and isinstance(first["input"], int):
            said += f", not {first['input']}"
            advice = "It is of another version of slotbench: install that one."
        raise UserError(f"{label}: {f'{field} {said}'.strip()}{more}.", advice) from None


def _place(document: Any, error: ErrorDetails) -> str:
    """The field of an error, without pydantic's names for the types of a union."""
    keys = []
    for key in error["loc"]:
        if isinstance(document, str):  # a field whose text is JSON
            with suppress(ValueError):
                document = from_json(document)
        known = isinstance(document, dict) and key in document
        if isinstance(document, list):
            known = key in range(len(document))
        if known or error["type"] == "missing":
            keys.append(str(key))
            document = document[key] if known else None
    return ".".join(keys)


def _said(error: ErrorDetails) -> str:
    """What is wrong, in our words."""
    said = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return _SAID.get(error["type"], said if said[:2].isupper() else said[:1].lower() + said[1:])


def no_file(path: Path) -> str:
    """What stands where a regular file is expected; empty where one does. A pipe would block."""
    if path.is_file():
        return ""
    if path.exists():
        return "this is a folder; expected a file" if path.is_dir() else "this is no regular file"
    return "this is a link to nowhere" if path.is_symlink() else "there is no such file"


def check_file(path: Path) -> None:
    """:class:`UserError` where a path is ``-`` or a folder, or its folder is missing."""
    _refuse_stdout(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected a file.", "Name a file.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}.", "Make the folder first.")


def _refuse_stdout(path: Path) -> None:
    if path == Path("-"):
        raise UserError("-: this command does not write to stdout.", "Type another name.")


def check_ending(path: Path, what: str, *endings: str) -> None:
    """:class:`UserError` where a name has the ending of another format than ``endings``."""
    ending = path.suffix.lower()
    if ending in _ENDINGS.split() and ending not in endings:
        said = f"{what} is written here, and {ending} promises something else"
        raise UserError(f"--out {path}: {said}.", f"End the name in {' or '.join(endings)}.")


def check_new(path: Path, *, force: bool) -> None:
    """:class:`UserError` where a file is there already, unless ``force``."""
    if path.is_file() and not force:
        raise UserError(f"{path} is there already.", "Choose another name, or add --force.")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file where the system names a temporary one, or, of a full disk, none or another."""
    try:
        yield
    except OSError as error:
        if _is_full(error) or str(error.filename).endswith(".tmp"):
            error.filename = str(path)
        raise


def _is_full(error: OSError) -> bool:
    text = str(error)  # h5py reports the number there
    return error.errno in _FULL or any(f"errno = {code}," in text for code in _FULL)


@contextmanager
def replacing(
    path: Path, folder: Path | None = None, *, follow: bool = False, force: bool = True
) -> Iterator[Path]:
    """A temporary name beside ``path``; renamed to it when the block ends well, else removed.

    A link or pipe at ``path`` is replaced: in someone else's run it may lead anywhere. With
    ``follow``, for paths that the user types, a link's target is replaced, and a device or pipe is
    written in place. The temporary file is made in ``folder``, if that is on the same file system,
    so that removing the folder also removes what a killed process left. :class:`UserError` where
    no file can be written, or, without ``force``, where there is one.
    """
    check_file(path)
    check_new(path, force=force)
    if follow:
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        if path.exists() and not path.is_file():
            with naming(path):
                yield path
            return
    if folder is not None and folder.stat().st_dev != path.parent.stat().st_dev:
        folder = None
    # Processes on other machines or in containers may have the same number.
    ours = f"{os.getpid()}-{os.urandom(4).hex()}"
    temporary = (folder or path.parent) / f".{path.name}.{ours}.tmp"
    try:
        with naming(path):
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        check_new(path, force=force)  # another process may have been faster
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(out: Path, names: Sequence[str], *, force: bool) -> None:
    """:class:`UserError` where ``out`` is no folder, or holds other things than ``names``.

    The first of them marks a folder that slotbench wrote: a folder of results holds ``runs``, as a
    bundle does, and is none. Without ``force``, also where it holds anything.
    """
    _refuse_stdout(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: this is no folder.", "Name a new folder.")
    there = {path.name for path in out.iterdir()} if out.exists() else set()
    if others := sorted(there.difference(names)):
        said = f"the folder holds other things, such as {others[0]}"
        raise UserError(f"--out {out}: {said}.", "Name a new folder.")
    if there and names[0] not in there:
        said = f"the folder holds {min(there)} and no {names[0]}: it was written by something else"
        raise UserError(f"--out {out}: {said}.", "Name a new folder.")
    if there and not force:
        raise UserError(f"--out {out} was written before.", "To replace all of it, add --force.")


@contextmanager
def replacing_folder(out: Path, names: Sequence[str], *, force: bool) -> Iterator[Path]:
    """A new folder that becomes ``out`` when the block ends well, and is removed otherwise.

    ``force`` replaces a folder that holds nothing but ``names``, and the first of them; any other
    is a :class:`UserError`.
    """
    if out.is_symlink():
        raise UserError(f"--out {out}: this is no folder.", "Name a new folder.")
    if Path.cwd().is_relative_to(out.resolve()):
        raise UserError(f"--out {out}: this is the folder that you are in.", "Name a new folder.")
    check_folder(out, names, force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        made = Path(name) / "made"
        made.mkdir()
        with naming(out):
            yield made
        check_folder(out, names, force=force)  # another process may have been faster
        if out.exists():
            out.rename(before := Path(name) / "before")
            try:
                made.rename(out)
            except OSError:
                before.rename(out)
                raise
        else:
            made.rename(out)


def write_whole(path: Path, content: bytes, *, follow: bool = False, force: bool = True) -> None:
    """Write a file whole or not at all; ``follow`` and ``force`` as for :func:`replacing`."""
    with replacing(path, follow=follow, force=force) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, document: Any, *, follow: bool = False, force: bool = True) -> None:
    """Write :func:`json_text` whole; ``follow`` and ``force`` as for :func:`replacing`."""
    text = json_text(document) + "\n"
    write_whole(path, text.encode(), follow=follow, force=force)


def json_text(document: Any, indent: int | None = 2) -> str:
    """A document as JSON; ValueError where it holds NaN or an infinite number.

    Lone surrogates, which stand for names that are not UTF-8, become question marks: no strict
    reader takes them, :func:`parse_json` included.
    """
    text = json.dumps(document, indent=indent, allow_nan=False)
    if "\\ud" in text:
        raw = json.dumps(document, ensure_ascii=False).encode(errors="replace")
        text = json.dumps(json.loads(raw), indent=indent)
    return text


def typed(folder: str, place: Path | str) -> str:
    """The option ``--data-dir`` or ``--results-dir`` to type; empty where it is the default."""
    return "" if Path(place) == Path(folder) else f" --{folder}-dir {shlex.quote(str(place))}"


def reason_of(error: BaseException) -> str:
    """One line for ``status.json``."""
    known = explain(error) if isinstance(error, OSError) else error
    text = (
        known.message if isinstance(known, SlotbenchError) else f"{type(error).__name__}: {error}"
    )
    return " ".join(text.split())


def explain(error: OSError) -> UserError | None:
    """An operating system error in the user's terms, such as a full disk; None for other kinds.

    h5py reports the error's number in the text alone.
    """
    number = error.errno
    text = str(error)
    where = f" ({error.filename})" if error.filename else ""
    if _is_full(error):
        return UserError(
            f"The disk is full, or a limit on file sizes is reached{where}.",
            "Free some space and type the same command again: it goes on where it stopped.",
        )
    if number in _DENIED or any(f"errno = {code}," in text for code in _DENIED):
        what = "Read-only file system" if number == errno.EROFS else "Permission denied"
        advice = "Choose another place, such as with --data-dir, --results-dir or --out."
        return UserError(f"{what}{where}.", advice)
    if number in _PLACES:
        path = Path(error.filename or "")
        if number == errno.EEXIST and path.is_symlink() and not path.exists():
            return UserError(f"{path} is a link to nowhere.", "Remove it, or make its target.")
        return UserError(f"{error.strerror}{where}.", "Check the path.")
    return None

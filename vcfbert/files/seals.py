"""Seals of stores: a file with the SHA-256 of every file in the folder, and of itself.

A store is sealed when it is finished, before it is renamed to its place. `sha256sum -c seal.sha256`
reads the format. Opening a store checks its metadata (zarr.json); `vcfbert verify` checks
everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vcfbert.errors import StoreError
from vcfbert.files import bounded, digests

NAME = "seal.sha256"
METADATA = "zarr.json"
_OWN = "# the lines above: "


def write(folder: Path) -> None:
    """Seal a finished folder."""
    lines = [f"{digests.of_file(folder / name)}  {name}" for name in sorted(_names(folder))]
    text = "".join(f"{line}\n" for line in lines).encode()
    (folder / NAME).write_bytes(text + f"{_OWN}{digests.of_bytes(text)}\n".encode())


def read(folder: Path, made_by: str) -> dict[str, str]:
    """Digests by name, relative to the folder.

    made_by  the command that rebuilds the store, for messages

    Raises StoreError if the seal is missing or damaged.
    """
    path = folder / NAME
    try:
        content = bounded.read(path, bounded.MAX_JSON)
        head = content[: content.rindex(_OWN.encode())]
        if content != head + f"{_OWN}{digests.of_bytes(head)}\n".encode():
            raise ValueError("its last line is not the SHA-256 of the others")
        pairs = (line.split("  ", 1) for line in head.decode("utf-8").splitlines())
        return {_inside(name): digest for digest, name in pairs}
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is missing, so the store cannot be checked. Rebuild it with: vcfbert {made_by}"
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged ({error}). Rebuild the store with: vcfbert {made_by}"
        ) from error


def _inside(name: str) -> str:
    """The name; ValueError if it leads out of the folder."""
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise ValueError(f"it names {name[:80]!r}, which is not in the folder")
    return name


def check(folder: Path, made_by: str, *, is_wanted: Callable[[str], bool]) -> None:
    """Raise StoreError for the first of the wanted files that differs from the seal."""
    sealed = read(folder, made_by)
    wanted = {name: digest for name, digest in sealed.items() if is_wanted(name)}
    for fault in _damages(folder, wanted, made_by):
        raise StoreError(fault)


def is_metadata(name: str) -> bool:
    """True for the small files that describe a store.

    >>> is_metadata("sites/position/zarr.json"), is_metadata("sites/position/c/0")
    (True, False)
    """
    return name.rsplit("/", 1)[-1] == METADATA


def faults(folder: Path, made_by: str, *, besides: Iterable[str] = ()) -> list[str]:
    """Every difference between a folder and its seal, as sentences.

    besides  folders that were added later and are not sealed

    Raises StoreError as `read` does.
    """
    sealed = read(folder, made_by)
    later = tuple(f"{name}/" for name in besides)
    extra = sorted(
        name for name in _names(folder) if name not in sealed and not name.startswith(later)
    )
    return [
        *_damages(folder, sealed, made_by),
        *(f"{folder / name} is not part of the store: it is not in the seal. Move it away."
          for name in extra),
    ]  # fmt: skip


def _damages(folder: Path, sealed: dict[str, str], made_by: str) -> Iterator[str]:
    for name, digest in sealed.items():
        path = folder / name
        try:
            what = ""
            if digests.of_file(path) != digest:
                what = f"is damaged: its SHA-256 is not the one in {NAME}"
        except FileNotFoundError:
            what = "is missing"
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
        if what:
            yield f"{path} {what}. Rebuild the store with: vcfbert {made_by}"


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if not path.is_dir() and path != folder / NAME:
            yield path.relative_to(folder).as_posix()

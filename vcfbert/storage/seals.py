"""The seal of a store: the SHA-256 of every file in its folder, in a file that ends in its own.

A store is sealed when it is finished, before it is renamed to its place. The lines are those that
`sha256sum -c seal.sha256` reads. What is small (zarr.json) is checked whenever a store is opened;
`vcfbert verify` checks everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vcfbert import digests
from vcfbert.errors import StoreError

NAME = "seal.sha256"
METADATA = "zarr.json"
_OWN = "# the lines above: "


def write(folder: Path) -> None:
    """Seal a finished folder."""
    lines = [f"{digests.of_file(folder / name)}  {name}" for name in sorted(_names(folder))]
    text = "".join(f"{line}\n" for line in lines).encode()
    (folder / NAME).write_bytes(text + f"{_OWN}{digests.of_bytes(text)}\n".encode())


def read(folder: Path) -> dict[str, str]:
    """Digests by name, relative to the folder.

    Raises StoreError where the seal is missing or is not whole.
    """
    path = folder / NAME
    try:
        content = path.read_bytes()
        head, own = content[: content.rindex(_OWN.encode())], content[-65:-1].decode("ascii")
        if content != head + f"{_OWN}{digests.of_bytes(head)}\n".encode():
            raise ValueError(f"its last line says {own!r} of other lines")
        pairs = (line.split("  ", 1) for line in head.decode("utf-8").splitlines())
        return {name: digest for digest, name in pairs}
    except FileNotFoundError as error:
        raise StoreError(
            f"{folder} has no {NAME}, so nobody can tell whether it is whole. Make it again with "
            "--force, by the command that made it."
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged ({error}). Make {folder} again with --force, by the command that "
            "made it."
        ) from error


def check(folder: Path, *, is_wanted: Callable[[str], bool], made_by: str) -> None:
    """Raise StoreError at the first of some files that is not what was sealed."""
    sealed = read(folder)
    wanted = {name: digest for name, digest in sealed.items() if is_wanted(name)}
    for fault in _damages(folder, wanted):
        raise StoreError(f"{fault} Make it again with: vcfbert {made_by} --force")


def check_metadata(folder: Path, made_by: str) -> None:
    """Raise StoreError where a zarr.json is not what was sealed."""
    check(folder, is_wanted=is_metadata, made_by=made_by)


def is_metadata(name: str) -> bool:
    """True for the small files that say what a store is.

    >>> is_metadata("sites/position/zarr.json"), is_metadata("sites/position/c/0")
    (True, False)
    """
    return name.rsplit("/", 1)[-1] == METADATA


def faults(folder: Path, *, besides: Iterable[str] = ()) -> list[str]:
    """Everything about a folder that is not as sealed, as sentences.

    besides  folders in it that came later and are not sealed

    Raises StoreError as `read` does.
    """
    sealed = read(folder)
    later = tuple(f"{name}/" for name in besides)
    extra = sorted(
        name for name in _names(folder) if name not in sealed and not name.startswith(later)
    )
    return [
        *_damages(folder, sealed),
        *(f"{folder / name} does not belong there: it was never sealed." for name in extra),
    ]


def _damages(folder: Path, sealed: dict[str, str]) -> Iterator[str]:
    for name, digest in sealed.items():
        path = folder / name
        try:
            if digests.of_file(path) != digest:
                yield f"{path} is damaged: its SHA-256 is not the one in {NAME}."
        except FileNotFoundError:
            yield f"{path} is missing."
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror})."


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if not path.is_dir() and path != folder / NAME:
            yield path.relative_to(folder).as_posix()

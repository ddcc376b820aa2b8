"""What a user can put right, as exception classes.

Each message says what was found, where, what was needed and the next command. An exception stores
its message only, so that it survives the trip back from a worker process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self


class VcfbertError(Exception):
    """Anything a user can put right. The message says what, where and how."""


class ConfigError(VcfbertError):
    """A setting is unknown or out of range."""


class InputError(VcfbertError):
    """A file the user gave (VCF, sample table, map, site list) cannot be used as it is."""


class DeviceError(VcfbertError):
    """The machine lacks what was asked for: a GPU, memory, disk."""


class StoreError(VcfbertError):
    """A store is missing, unfinished, stale or of the wrong kind."""

    @classmethod
    def missing(cls, path: Path, *, made_by: str) -> Self:
        """No store there; `made_by` is the command line that makes one."""
        return cls(f"No store at {path}. Make one with: vcfbert {made_by}")

    @classmethod
    def wrong_kind(cls, path: Path, *, found: object, needed: str, made_by: str) -> Self:
        """A store of another kind stands at `path`."""
        return cls(
            f"{path} holds {found!r}, but a {needed!r} store is needed here. "
            f"Make one with: vcfbert {made_by}"
        )

    @classmethod
    def wrong_version(cls, path: Path, *, found: object, needed: int, made_by: str) -> Self:
        """The store was written in another format."""
        return cls(
            f"{path} has format version {found}, but this vcfbert reads version {needed}. "
            f"Make it again with: vcfbert {made_by} --force"
        )

    @classmethod
    def stale(cls, path: Path, *, parent: str, made_by: str) -> Self:
        """The store was made from another parent than the one that stands there now."""
        return cls(
            f"{path} was made from another {parent} than the one in this workspace. "
            f"Make it again with: vcfbert {made_by}"
        )

    @classmethod
    def unwritable(cls, path: Path, error: OSError) -> Self:
        """The operating system refuses to write at `path`."""
        return cls(
            f"Cannot write {path}: {error.strerror or error}. "
            "Check the free space and the permissions there."
        )

    @classmethod
    def in_use(cls, path: Path, *, holder: str) -> Self:
        """Another writer is at work at `path`."""
        return cls(
            f"{path} is being written by {holder}. "
            "Wait until that has ended, or stop it, and run this command again."
        )

    @classmethod
    def no_locks(cls, path: Path, error: OSError) -> Self:
        """The file system of `path` cannot keep two writers apart."""
        return cls(
            f"Cannot lock {path}: its file system has no file locks ({error.strerror}), so two "
            "writers could spoil each other's work. Choose a place on a local disk, or have it "
            "mounted with locks (NFS with its lock service, Lustre with the option flock)."
        )

    @classmethod
    def replaced(cls, path: Path) -> Self:
        """What was being read has been replaced by another command."""
        return cls(
            f"{path} was replaced or deleted by another command while it was being read. "
            "Run this command again."
        )

    @classmethod
    def exists(cls, path: Path) -> Self:
        """A finished store stands at `path` and is not replaced unasked."""
        return cls(f"{path} already exists. Choose another place, or pass --force to replace it.")

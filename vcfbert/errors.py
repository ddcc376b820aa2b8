"""Exceptions for mistakes that a user can correct.

Each message says what was found, where, what was needed and the next command. An exception stores
only its message, so that it survives the trip back from a worker process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self


class VcfbertError(Exception):
    """Anything a user can correct. The message says what, where and how."""


class ConfigError(VcfbertError):
    """A setting is unknown or out of range."""


class InputError(VcfbertError):
    """A file the user gave (VCF, sample table, map, site list) cannot be used as it is."""


class DeviceError(VcfbertError):
    """The machine lacks a GPU, memory or disk space that was asked for."""


class StoreError(VcfbertError):
    """A store is missing, unfinished, stale or of the wrong kind."""

    @classmethod
    def missing(cls, path: Path, *, made_by: str) -> Self:
        """There is no store at `path`; `made_by` is the command that makes one."""
        return cls(f"No store at {path}. Make one with: vcfbert {made_by}")

    @classmethod
    def wrong_kind(cls, path: Path, *, found: object, needed: str, made_by: str) -> Self:
        """The store at `path` is of another kind."""
        return cls(
            f"{path} is a store of the kind {found!r}, but {needed!r} is needed here. "
            f"Make one with: vcfbert {made_by}"
        )

    @classmethod
    def wrong_version(cls, path: Path, *, found: object, needed: int, made_by: str) -> Self:
        """The store was written in another format."""
        return cls(
            f"{path} has format version {found}, but this vcfbert reads version {needed}. "
            f"Rebuild it with: vcfbert {made_by} --force"
        )

    @classmethod
    def stale(cls, path: Path, *, parent: str, made_by: str) -> Self:
        """The store was made from another parent than the current one."""
        return cls(
            f"{path} was made from another {parent} than the one in this workspace. "
            f"Rebuild it with: vcfbert {made_by}"
        )

    @classmethod
    def unwritable(cls, path: Path, error: OSError) -> Self:
        """The operating system refuses to write `path`."""
        return cls(
            f"Cannot write {path}: {error.strerror or error}. "
            "Check the free space and the permissions."
        )

    @classmethod
    def in_use(cls, path: Path, *, holder: str) -> Self:
        """Another process is writing `path`."""
        return cls(
            f"{path} is being written by {holder}. "
            "Wait until it has finished, or stop it, then run this command again."
        )

    @classmethod
    def no_locks(cls, path: Path, error: OSError) -> Self:
        """The file system of `path` cannot keep two writers apart."""
        return cls(
            f"Cannot lock {path}: its file system has no file locks ({error.strerror}), so two "
            "writers could damage each other's output. Write to a local disk, or mount the file "
            "system with locks (NFS with its lock service, Lustre with the option flock)."
        )

    @classmethod
    def replaced(cls, path: Path) -> Self:
        """Another command has replaced what was being read."""
        return cls(
            f"{path} was replaced or deleted by another command while it was being read. "
            "Run this command again."
        )

    @classmethod
    def exists(cls, path: Path) -> Self:
        """There is a finished store at `path`, and the command may not replace it."""
        return cls(f"{path} already exists. Choose another path, or pass --force to replace it.")

"""The index that a run was trained with, among the versions of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcfbert.errors import StoreError
from vcfbert.files import digests
from vcfbert.retrieval import manifest
from vcfbert.retrieval.manifest import Manifest
from vcfbert.storage.zarr.workspace import Workspace


def find(workspace: Workspace, run: Path, fingerprint: str, *, to_resume: bool = False) -> Path:
    """Path of the index with this fingerprint, else of one of the same references.

    run        folder of the run whose index it is
    to_resume  whether training continues, for which another index will do only if the run's is
               exact: its search is repeated from the references

    Raises StoreError if there is none: other references give other scores.
    """
    others: list[str] = []
    same: list[Path] = []
    record, panel = _noted(run)
    for version in reversed(workspace.versions("indexes")):
        path = workspace.version("indexes", version)
        found = manifest.read(path)
        other = manifest.fingerprint(found)
        if other == fingerprint:
            return path
        if found.parents.get("panel") == panel and _has_same_references(record, found):
            same.append(path)
        others.append(f"{path} ({_described(record_of(found), other)})")
    if same and (not to_resume or record["kind"] == "exact"):
        return same[0]
    raise _gone(workspace, run, fingerprint, others)


def kind_of(run: Path) -> str:
    """Kind of the index that a run was trained with; empty for runs of earlier versions."""
    return str(_noted(run)[0].get("kind", ""))


def _has_same_references(record: Mapping[str, Any], other: Manifest) -> bool:
    """True if an index of the same panel has the references that a run noted.

    The draw of a subset follows from its size and seed.
    """
    if not record:
        return False
    drawn = (record["max_references"], record["seed"])
    is_same_draw = drawn[0] is None or drawn[1] == other.seed
    same = (record["references"], drawn[0])
    return is_same_draw and same == (len(other.reference_haplotypes), other.max_references)


def record_of(content: Manifest) -> dict[str, Any]:
    """What a run notes about its index, to name it and the command that makes it."""
    return {
        "kind": content.kind,
        "references": len(content.reference_haplotypes),
        "max_references": content.max_references,
        "seed": content.seed,
    }


def _gone(workspace: Workspace, run: Path, fingerprint: str, others: list[str]) -> StoreError:
    """The error that names the index, those there are, and two ways out."""
    record = _noted(run)[0]
    there = f"It has {', '.join(others)} instead." if others else "It has no index."
    force = " --force" if others else ""
    options = "" if record else ", with the options that it had"
    return StoreError(
        f"The run {run.name} was trained with an index ({_described(record, fingerprint)}) that is "
        f"not in {workspace.root} any more, and scores depend on the references. {there} Build the "
        f"run's index again{options}: vcfbert {_command(record)}{force}; or train the run again: "
        f"vcfbert train --run {run.name} --config {run / 'config.toml'} --force"
    )


def _noted(run: Path) -> tuple[Mapping[str, Any], str]:
    """What the run noted about its index, and its panel; empty for runs of earlier versions."""
    try:
        record = digests.read_json(run / "run.json")
        found, panel = record.get("index"), record.get("parents", {}).get("panel", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, ""
    return (found if isinstance(found, dict) else {}), str(panel)


def _described(record: Mapping[str, Any], fingerprint: str) -> str:
    """Kind, size and fingerprint of an index.

    >>> record = {"kind": "exact", "references": 8, "max_references": 8, "seed": 2}
    >>> _described(record, "0123456789abcdef")
    'exact, 8 reference haplotypes drawn with seed 2, fingerprint 0123456789ab'
    """
    name = f"fingerprint {fingerprint[:12]}"
    if not record:
        return name
    drawn = "" if record["max_references"] is None else f" drawn with seed {record['seed']}"
    return f"{record['kind']}, {record['references']} reference haplotypes{drawn}, {name}"


def _command(record: Mapping[str, Any]) -> str:
    """The command that made an index.

    >>> _command({"kind": "dense", "references": 8, "max_references": 8, "seed": 2})
    'build-index --kind dense --max-references 8 --seed 2'
    """
    words = [manifest.MADE_BY]
    if record and record["kind"] != "exact":
        words.append(f"--kind {record['kind']}")
    if record and record["max_references"] is not None:
        words.append(f"--max-references {record['max_references']} --seed {record['seed']}")
    return " ".join(words)

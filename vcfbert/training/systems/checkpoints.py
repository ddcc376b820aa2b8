"""Checkpoints of a run: weights with their settings and fingerprints, as safetensors and JSON.

    RUN/checkpoints/step-00000500.safetensors            weights
    RUN/checkpoints/step-00000500.optimizer.safetensors  AdamW moments
    RUN/checkpoints/last.json, best.json                 state of the run, names of its files

A JSON file is replaced in one step after the files it names have been written, so a run that is
killed at any moment has a complete last checkpoint. The JSON file has its own SHA-256 and those of
the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from vcfbert import config
from vcfbert.config import Config
from vcfbert.domain import tokens
from vcfbert.errors import StoreError
from vcfbert.files import bounded, digests
from vcfbert.model import imputer
from vcfbert.model.embedding import Encoder
from vcfbert.model.imputer import Imputer
from vcfbert.storage.zarr import schema, stores

FORMAT_VERSION = schema.CHECKPOINT_FORMAT
Which = Literal["best", "last"]


@dataclass(frozen=True)
class Checkpoint:
    """The JSON file of a checkpoint.

    parents  fingerprints of the panel, of the encoder and, if the run searches one, of the index
    state    counters and sums of the training loop
    """

    settings: Config
    parents: dict[str, str]
    state: dict[str, Any]
    weights_file: Path
    optimizer_file: Path | None


def save(
    run: Path,
    which: Which,
    *,
    settings: Config,
    parents: dict[str, str],
    state: dict[str, Any],
    weights: dict[str, Tensor],
    optimizer: dict[str, Tensor] | None,
) -> None:
    """Write a checkpoint and delete the files that neither `last` nor `best` names."""
    folder = run / "checkpoints"
    stem = f"step-{state['step']:08d}"
    files = {"weights": _write_tensors(folder / f"{stem}.safetensors", weights)}
    if optimizer is not None:
        files["optimizer"] = _write_tensors(folder / f"{stem}.optimizer.safetensors", optimizer)
    record = {
        "format_version": FORMAT_VERSION,
        "which": which,
        "vocabulary": list(tokens.NAMES),
        "files": files,
        "parents": parents,
        "state": state,
        "config": config.to_dict(settings),
    }
    stores.write_file(folder / f"{which}.json", digests.sealed_json(record))
    _drop_unnamed(folder)


def read(run: Path, which: Which) -> Checkpoint:
    """Read and check the JSON file of a checkpoint, and the digests of its files.

    Raises StoreError if it is missing, damaged, or of another format or vocabulary.
    """
    path = run / "checkpoints" / f"{which}.json"
    try:
        content = bounded.read(path, bounded.MAX_JSON)
        record = bounded.json_of(content.decode("utf-8"))
    except FileNotFoundError as error:
        raise StoreError(
            f"The run {run} has no {which} checkpoint. "
            f"Train it with: vcfbert train --run {run.name}"
        ) from error
    except (ValueError, OSError) as error:
        raise _damaged(path, error) from error
    try:
        _check_format(path, record)
        _check_seal(path, content, which)
        files = record["files"]
        optimizer = files.get("optimizer")
        settings = config.from_dict(record["config"], source=str(path))
        searched = () if settings.retrieval.space == "none" else ("index",)
        return Checkpoint(
            settings=settings,
            parents=_with_keys(record["parents"], "panel", *searched),
            state=_with_keys(record["state"], "epoch", "step"),
            weights_file=_verified(path.parent, files["weights"]),
            optimizer_file=None if optimizer is None else _verified(path.parent, optimizer),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def load_model(run: Path, which: Which = "best") -> tuple[Imputer, Config]:
    """Return the network of a checkpoint, on the CPU and in eval mode, and its settings."""
    checkpoint = read(run, which)
    weights = load_tensors(checkpoint.weights_file)
    settings = checkpoint.settings.model
    # Checked before the network is made, because each block has a matrix of at least this size.
    block = settings.feedforward_multiple * settings.width**2
    found = sum(tensor.numel() for tensor in weights.values())
    if settings.width + settings.num_layers * block > found:
        raise StoreError(
            f"{checkpoint.weights_file} has {found:,} numbers, too few for {settings.num_layers} "
            f"layers of the width {settings.width}. Use another checkpoint."
        )
    model = imputer.build(settings, checkpoint.settings.seed, checkpoint.settings.loss.focal_gamma)
    _check_fit(model, weights, checkpoint.weights_file)
    model.load_state_dict(weights)
    return model.eval(), checkpoint.settings


def load_encoder(run: Path, which: Which = "best") -> Encoder:
    """Return the encoder of a checkpoint, in eval mode."""
    return load_model(run, which)[0].encoder


def load_weights(model: Imputer, path: Path) -> None:
    """Load weights; StoreError naming the first tensor of the wrong shape or type."""
    weights = load_tensors(path)
    _check_fit(model, weights, path)
    model.load_state_dict(weights)


def _check_fit(model: Imputer, weights: dict[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        found = tuple(weights[name].shape) if name in weights else "nothing"
        needed = tuple(expected[name].shape) if name in expected else "nothing"
        if found != needed:
            raise StoreError(
                f"{path} has {found} for {name}, but the network needs {needed}. {_again(path)}"
            )
        if weights[name].dtype != expected[name].dtype:
            raise StoreError(
                f"{path} has {weights[name].dtype} for {name}, but the network needs "
                f"{expected[name].dtype}."
            )
    check_finite(weights, path)


def check_finite(weights: dict[str, Tensor], path: Path) -> None:
    """Raise StoreError naming the first of some weights that has a NaN or an infinity.

    path  of their file
    """
    for name, value in sorted(weights.items()):
        if not bool(torch.isfinite(value).all()):
            raise StoreError(f"{path} has a NaN or an infinity in {name}. {_again(path)}")


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; StoreError if it is damaged."""
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}). {_again(path)}") from error


def check_moments(path: Path) -> None:
    """Raise StoreError if the moments of an optimizer cannot be read or are not finite."""
    for name, moment in load_tensors(path).items():
        if not bool(torch.isfinite(moment).all()):
            raise StoreError(f"{path} has a NaN or an infinity in {name}. Train the run again.")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value.detach().cpu().contiguous()
        for index, moments in state.items()
        for key, value in moments.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _write_tensors(path: Path, named: dict[str, Tensor]) -> dict[str, str]:
    content = safetensors.torch.save(named)
    stores.write_file(path, content)
    return {"name": path.name, "sha256": digests.of_bytes(content)}


def _verified(folder: Path, entry: dict[str, str]) -> Path:
    """Return the path of a file after checking its digest."""
    if Path(entry["name"]).name != entry["name"]:
        again = _again(folder / "last.json")
        raise StoreError(f"{folder} names {entry['name']!r}, which is not in it. {again}")
    path = folder / entry["name"]
    try:
        bounded.require_regular(path)
        digest = digests.of_file(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"Cannot read the checkpoint file {path}: {error}. {_again(path)}"
        ) from error
    if digest != entry["sha256"]:
        raise StoreError(
            f"{path} is damaged: its SHA-256 differs from the recorded one. {_again(path)}"
        )
    return path


def _again(path: Path) -> str:
    """The remedy if a file in RUN/checkpoints cannot be used."""
    return f"Train the run again: vcfbert train --run {path.parent.parent.name} --force"


def _with_keys(found: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a copy of a mapping after checking that it has these keys; KeyError if not."""
    return {**found, **{name: found[name] for name in names}}


def _check_format(path: Path, record: dict[str, Any]) -> None:
    if record["format_version"] != FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {record['format_version']}, but this vcfbert reads version "
            f"{FORMAT_VERSION}. {_again(path)}"
        )
    if record["vocabulary"] != list(tokens.NAMES):
        raise StoreError(
            f"{path} was trained with the vocabulary {record['vocabulary']}, but this vcfbert has "
            f"{list(tokens.NAMES)}. {_again(path)}"
        )


def _check_seal(path: Path, content: bytes, which: Which) -> None:
    try:
        found = digests.opened_json(content)["which"]
    except ValueError as error:
        raise _damaged(path, error) from error
    if found != which:
        raise StoreError(
            f"{path} was written as {found}.json. Rename it back, or train the run again: "
            f"vcfbert train --run {path.parent.parent.name} --force"
        )


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path} is damaged ({error!r}). {_again(path)}")


def _drop_unnamed(folder: Path) -> None:
    named = set()
    for which in ("last", "best"):
        path = folder / f"{which}.json"
        if not path.exists():
            continue
        try:
            files = bounded.json_of(bounded.read(path, bounded.MAX_JSON))["files"]
            named |= {entry["name"] for entry in files.values()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path} is damaged ({error!r}), so its weights cannot be told from others. Delete "
                "it to continue without that checkpoint."
            ) from error
    for path in folder.glob("step-*.safetensors"):
        if path.name not in named:
            path.unlink()

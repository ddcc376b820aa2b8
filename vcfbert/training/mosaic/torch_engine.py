"""What `copying.engine.impute_samples` does, in PyTorch on a device: everyone at once.

The numbers are those of the compiled path to about 1e-4; a site where the heads are just at the
limit may be left to the network by one of them only.

S sites of the chunk, T typed sites, N samples, B = 2 N queries, A heads, n open sites.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcfbert.copying import engine, torch_chunk, torch_mosaic
from vcfbert.copying.engine import LOW, ImputedChunk, Prepared
from vcfbert.copying.network import Answer, Network, Weights
from vcfbert.copying.torch_mosaic import Imputed
from vcfbert.errors import DeviceError
from vcfbert.model.mosaic import FIRST_GATES, Mosaic
from vcfbert.training import devices
from vcfbert.training.mosaic import mosaic_large
from vcfbert.training.mosaic.mosaic_large import LargeNetwork

ROWS_AT_ONCE = 1 << 20
"""Open sites that go through the network together."""


def choose(name: str) -> torch.device | None:
    """The device of that name; None for the CPU, where the compiled path is the faster one."""
    device = devices.choose_device(name)
    return None if device.type == "cpu" else device


def impute_samples(
    prepared: Prepared,
    answer: Answer,
    queries: NDArray[np.uint8],
    candidates: Sequence[NDArray[np.int64]],
    *,
    device: torch.device,
    low: float = LOW,
) -> ImputedChunk:
    """Impute everyone, in as many parts as the device's memory asks for.

    Arguments as in `copying.engine`. Raises DeviceError where not even one sample fits.
    """
    try:
        return _impute(prepared, answer, queries, candidates, device, low)
    except torch.OutOfMemoryError as error:
        if len(queries) == 1:
            raise DeviceError(
                f"One sample and {len(prepared.chunk.cm):,} sites do not fit into the memory of "
                f"{device}. Take a smaller --chunk-cm, or --device cpu."
            ) from error
    torch.cuda.empty_cache()
    half = len(queries) // 2
    parts = [
        impute_samples(
            prepared,
            answer,
            queries[samples],
            candidates[2 * samples.start : 2 * samples.stop],
            device=device,
            low=low,
        )
        for samples in (slice(0, half), slice(half, len(queries)))
    ]
    return _joined(parts, [half, len(queries) - half])


def _joined(parts: Sequence[ImputedChunk], sizes: Sequence[int]) -> ImputedChunk:
    shares = np.array(sizes) / sum(sizes)
    opened = np.array([part.open_share for part in parts])
    strange = np.array([part.out_of_range for part in parts])
    total = float(opened @ shares)
    return ImputedChunk(
        alt=np.concatenate([part.alt for part in parts], axis=1),
        left_out=np.concatenate([part.left_out for part in parts], axis=1),
        open_share=total,
        out_of_range=float((opened * strange) @ shares) / total if total else 0.0,
    )


@torch.no_grad()
def _impute(
    prepared: Prepared,
    answer: Answer,
    queries: NDArray[np.uint8],
    candidates: Sequence[NDArray[np.int64]],
    device: torch.device,
    low: float,
) -> ImputedChunk:
    num_samples, _, num_typed = queries.shape
    chunk = torch_chunk.to_device(prepared, device)
    batch = torch_chunk.to_batch(queries.reshape(-1, num_typed), candidates, device)
    found = torch_mosaic.impute(chunk, batch, low=low)
    alt = _mixed(found.probabilities)
    outside = 0
    if isinstance(answer, LargeNetwork):
        outside = _answer_large(answer, prepared, found, alt)
    elif isinstance(answer, Network) and answer.weights is not None:
        network = network_of(answer.weights).to(device)
        for first in range(0, len(found.rows), ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            rows = found.rows[part]
            alt[found.query[part], found.site[part]] = torch.sigmoid(network(rows))
            outside += mosaic_large.count_outside(network, rows)
    return ImputedChunk(
        alt=_by_site(alt, num_samples),
        left_out=_by_site(found.left_out, num_samples),
        open_share=len(found.rows) / max(alt.numel(), 1),
        out_of_range=outside / max(len(found.rows), 1),
    )


def _answer_large(answer: LargeNetwork, prepared: Prepared, found: Imputed, alt: Tensor) -> int:
    """Answer for the open sites, haplotype by haplotype; returns how many are out of range.

    alt  (B, S) written
    """
    num_queries, num_sites = alt.shape
    order = torch.argsort(found.query * num_sites + found.site)
    query, site, rows = found.query[order], found.site[order], found.rows[order]
    place = torch.from_numpy(engine.places(prepared)).to(alt.device)[site]
    counts = torch.bincount(query, minlength=num_queries).cpu().numpy()
    bounds = np.concatenate([[0], np.cumsum(counts)])
    on_device = answer.to(alt.device)
    alt[query, site] = torch.sigmoid(on_device.logits(rows, place, bounds))
    return mosaic_large.count_outside(on_device.module.small, rows)


def network_of(weights: Weights) -> Mosaic:
    """The module with these weights."""
    network = Mosaic(len(weights.mean), len(weights.first_bias))
    network.load_state_dict(
        {name: torch.from_numpy(np.array(array)) for name, array in weights._asdict().items()}
    )
    return network


def _mixed(probabilities: Tensor) -> Tensor:
    """(B, S) the heads' mean before training; exact where all of them are certain."""
    weights = torch.softmax(torch.tensor(FIRST_GATES, device=probabilities.device), dim=0)
    first = probabilities[:, :, 0]
    return first + (probabilities - first[:, :, None]) @ weights


def _by_site(values: Tensor, num_samples: int) -> NDArray[np.float32]:
    """(2 N, S) on a device to (S, N, 2) here."""
    array: NDArray[np.float32] = values.cpu().numpy().reshape(num_samples, 2, -1)
    return array.transpose(2, 0, 1)

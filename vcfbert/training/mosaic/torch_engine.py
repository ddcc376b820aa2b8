"""Imputation of all samples over one chunk on a GPU: `copying.engine.impute_samples` in PyTorch.

Nearly all probabilities agree with the compiled path to 1e-4. At a site close to the limit of being
decided, only one of the two may run the network, and they differ by more.

S sites of the chunk, T typed sites, N samples, B = 2 N queries, A parameter sets, n undecided
sites.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcfbert import plurals
from vcfbert.copying import engine, inputs, torch_chunk, torch_mosaic
from vcfbert.copying.engine import ImputedChunk, Prepared
from vcfbert.copying.network import FIRST_GATES, Network
from vcfbert.errors import DeviceError
from vcfbert.model.mosaic import Mosaic
from vcfbert.training import devices

ROWS_AT_ONCE = 1 << 20
"""Undecided sites in one call of the network."""


def choose(name: str) -> torch.device | None:
    """The device of that name; None for the CPU, on which the compiled path is faster."""
    device = devices.choose_device(name)
    return None if device.type == "cpu" else device


def impute_samples(
    prepared: Prepared,
    network: Network,
    queries: NDArray[np.uint8],
    candidates: Sequence[NDArray[np.int64]],
    *,
    device: torch.device,
    is_haploid: NDArray[np.bool_] | None = None,
) -> ImputedChunk:
    """Impute all samples, in as many parts as the memory of the device requires.

    Arguments as in `copying.engine`. Raises DeviceError if not even one sample fits.
    """
    if is_haploid is None:
        is_haploid = np.zeros(len(queries), np.bool_)
    try:
        return _impute(prepared, network, queries, candidates, is_haploid, device)
    except torch.OutOfMemoryError as error:
        if len(queries) == 1:
            raise DeviceError(
                f"One sample and {plurals.of(len(prepared.chunk.cm), 'site')} do not fit into the "
                f"memory of {device}. Use a smaller --chunk-cm, or --device cpu."
            ) from error
    torch.cuda.empty_cache()
    half = len(queries) // 2
    parts = [
        impute_samples(
            prepared,
            network,
            queries[samples],
            candidates[2 * samples.start : 2 * samples.stop],
            device=device,
            is_haploid=is_haploid[samples],
        )
        for samples in (slice(0, half), slice(half, len(queries)))
    ]
    counts = 2 - is_haploid.astype(np.int64)
    return _joined(parts, [int(counts[:half].sum()), int(counts[half:].sum())])


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
    network: Network,
    queries: NDArray[np.uint8],
    candidates: Sequence[NDArray[np.int64]],
    is_haploid: NDArray[np.bool_],
    device: torch.device,
) -> ImputedChunk:
    """The absent haplotype of a haploid sample is imputed as the other, and left out then."""
    num_samples, _, num_typed = queries.shape
    alone = np.flatnonzero(is_haploid)
    if len(alone):
        queries, candidates = queries.copy(), list(candidates)
        queries[alone, 1] = queries[alone, 0]
        for sample in alone.tolist():
            candidates[2 * sample + 1] = candidates[2 * sample]
    chunk = torch_chunk.to_device(prepared, device)
    batch = torch_chunk.to_batch(queries.reshape(-1, num_typed), candidates, device)
    found = torch_mosaic.impute(chunk, batch, low=engine.decided_below(network))
    alt = _mixed(found.probabilities)
    is_alone = torch.from_numpy(is_haploid).to(device)[found.query // 2]
    is_counted = ~is_alone | (found.query % 2 == 0)
    is_alt = chunk.frequency[found.site[is_alone]] > 0  # as `engine.likely_haplotype`
    likely = torch.where(is_alt, inputs.LOGIT_LIMIT, -inputs.LOGIT_LIMIT)
    found.rows[is_alone, inputs.OTHER_HAPLOTYPE : inputs.OTHER_HAPLOTYPE + 2] = likely[:, None]
    outside = 0
    if network.weights is not None:
        module = Mosaic.of(network.weights._asdict(), FIRST_GATES).to(device)
        for first in range(0, len(found.rows), ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            rows = found.rows[part]
            alt[found.query[part], found.site[part]] = torch.sigmoid(module(rows))
            outside += module.num_out_of_range(rows[is_counted[part]])
    num_open, num_absent = int(is_counted.sum()), len(alone)
    by_site, left_out = _by_site(alt, num_samples), _by_site(found.left_out, num_samples)
    by_site[:, alone, 1], left_out[:, alone, 1] = 0, 0
    return ImputedChunk(
        alt=by_site,
        left_out=left_out,
        open_share=num_open / max(alt.numel() - num_absent * alt.shape[1], 1),
        out_of_range=outside / max(num_open, 1),
    )


def _mixed(probabilities: Tensor) -> Tensor:
    """(B, S) mean of the parameter sets before training; exact if all of them are certain."""
    weights = torch.softmax(torch.tensor(FIRST_GATES, device=probabilities.device), dim=0)
    first = probabilities[:, :, 0]
    return first + (probabilities - first[:, :, None]) @ weights


def _by_site(values: Tensor, num_samples: int) -> NDArray[np.float32]:
    """(2 N, S) on a device to (S, N, 2) in memory."""
    array: NDArray[np.float32] = values.cpu().numpy().reshape(num_samples, 2, -1)
    return array.transpose(2, 0, 1)

"""Probabilities of a part as 16-bit codes, from which the output's text is exactly the same.

A code is a multiple of 1/65000, so a probability and its code round to the same thousandth. A
genotype of which another number of the output (DS, GP, the call) would round differently is kept
as two float32 as well: about one of a thousand.

n sites, B samples.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import dosage

SCALE = 65_000
"""Codes of a probability of 1. The odd factor 65 of 1000 keeps the ends of thousandths between two
codes."""

DIGITS = 1_000  # the output has three decimals
_REACH = 1.1 * DIGITS / SCALE  # change of a number in thousandths, with rounding errors
_LEVEL = 1  # of zlib: most codes are 0 or SCALE


class DamagedCellsError(ValueError):
    """Bytes that are not what `encoded` returned."""


@dataclass(frozen=True)
class Kept:
    """Genotypes that are kept exactly.

    place  (k,) site times B + sample, rising
    alt    (k, 2)
    """

    place: NDArray[np.int32]
    alt: NDArray[np.float32]


def encoded(alt: NDArray[np.float32]) -> bytes:
    """Compressed codes of some sites (n, B, 2), and the genotypes that are kept exactly."""
    codes = np.rint(alt * np.float32(SCALE)).astype(np.uint16)
    kept = _to_keep(alt, codes)
    planes = np.stack([codes & 0xFF, codes >> 8]).astype(np.uint8)
    head = np.array([len(kept.place)], "<i4").tobytes()
    exact = kept.place.astype("<i4").tobytes() + kept.alt.astype("<f4").tobytes()
    return zlib.compress(head + exact + planes.tobytes(), _LEVEL)


def decoded(content: bytes, num_sites: int, num_samples: int) -> NDArray[np.float32]:
    """(n, B, 2) of what `encoded` returned. Raises DamagedCellsError."""
    cells = 2 * num_sites * num_samples
    try:
        raw = zlib.decompress(content)
        count = int(np.frombuffer(raw, "<i4", 1)[0])
        if not 0 <= count <= cells // 2 or len(raw) != 4 + 12 * count + 2 * cells:
            raise ValueError("it has another length")
        place = np.frombuffer(raw, "<i4", count, 4)
        exact = np.frombuffer(raw, "<f4", 2 * count, 4 + 4 * count).reshape(count, 2)
        low, high = np.frombuffer(raw, np.uint8, 2 * cells, 4 + 12 * count).reshape(2, cells)
        alt = _probabilities(low + high.astype(np.uint16) * np.uint16(256))
        alt.reshape(-1, 2)[place] = exact
    except (zlib.error, ValueError, IndexError) as error:
        raise DamagedCellsError(str(error)) from error
    return alt.reshape(num_sites, num_samples, 2)


def _probabilities(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    return codes.astype(np.float32) / np.float32(SCALE)


def _to_keep(alt: NDArray[np.float32], codes: NDArray[np.uint16]) -> Kept:
    """The genotypes whose text would change.

    A genotype with both codes certain is `0|1:1:0,1:0,1,0` or the like either way.
    """
    is_certain = (codes == 0) | (codes == SCALE)
    place = np.flatnonzero(~(is_certain[:, :, 0] & is_certain[:, :, 1]))
    pairs = alt.reshape(-1, 2)[place]
    is_near = _may_round_differently(pairs)
    place, pairs = place[is_near], pairs[is_near]
    coded = _probabilities(codes.reshape(-1, 2)[place])
    differs = (numbers(pairs) != numbers(coded)).any(axis=1)
    return Kept(place[differs].astype(np.int32), pairs[differs])


def _may_round_differently(pairs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(k,) True for genotypes with a number so near the end of a thousandth that a code may cross.

    Neither a sum nor a genotype probability changes by more than the two codes do. A probability
    itself crosses only by an error of rounding to float32.
    """
    first, second = pairs[:, 0], pairs[:, 1]
    both = first * second
    total = first + second
    is_near: NDArray[np.bool_] = np.abs(pairs - np.float32(0.5)).min(axis=1) < 1 / SCALE  # call
    for number in (first, second, total, both, total - 2 * both, 1 - total + both):
        scaled = number * np.float32(DIGITS)
        scaled -= np.floor(scaled)
        is_near |= np.abs(scaled - np.float32(0.5)) < _REACH
    return is_near


def numbers(pairs: NDArray[np.float32]) -> NDArray[np.int64]:
    """(k, 8) what the output shows of genotypes: HDS, DS and GP in thousandths, and the calls."""
    imputed = dosage.from_haplotypes(pairs[:, None])
    numbers = np.concatenate(
        [pairs, imputed.dosage, imputed.genotype_probability[:, 0]], axis=1, dtype=np.float64
    )
    return np.concatenate([np.rint(numbers * DIGITS).astype(np.int64), imputed.calls[:, 0]], axis=1)

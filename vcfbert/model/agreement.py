"""How well each neighbour agrees with the query around each site.

After a search with a context-free encoder the neighbours at one site differ by their allele alone.
What tells which of them is right *here* is where they agree with the query nearby: the length of
the match on both sides, as in the positional Burrows-Wheeler transform (Durbin 2014) and in
Li and Stephens' copying model (2003).

B query haplotypes, K neighbours, L sites in a window, A agreement features.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vcfbert.domain import tokens
from vcfbert.model.embedding import SiteFeatures

BOX_RADII = (16, 64, 256)
"""Half widths, in sites, of the boxes in which mismatches are counted."""
NUM_AGREEMENT_FEATURES = 7 + len(BOX_RADII)
_PER_CM = 1000.0  # match lengths matter from about a thousandth of a centimorgan


def agreement_features(
    query: Integer[Tensor, "B L"], neighbours: Integer[Tensor, "B K L"], features: SiteFeatures
) -> Float[Tensor, "B K L A"]:
    """Describe the match of each neighbour with the visible alleles around each site.

    query       tokens under the mask: hidden sites neither match nor mismatch
    neighbours  complete tokens
    returns     logs of: visible sites without a mismatch to the left and to the right, this one
                included; the same in thousandths of a centimorgan; visible sites to the second
                mismatch, left and right; mismatches in the window; mismatches in boxes around the
                site
    """
    visible = query <= tokens.ALT  # (B, L)
    mismatch = visible[:, None, :] & (neighbours != query[:, None, :])  # (B, K, L)
    left, left_second = _last_two(mismatch)
    right, right_second = (_mirror(index) for index in _last_two(mismatch.flip(-1)))
    seen = torch.nn.functional.pad(visible.cumsum(-1), (1, 0))  # (B, L + 1)
    seen = seen[:, None, :].expand(-1, mismatch.shape[1], -1)
    before, through = seen[..., :-1], seen[..., 1:]
    cm = features.cm
    length = mismatch.shape[-1]
    counts = torch.nn.functional.pad(mismatch.cumsum(-1), (1, 0))  # (B, K, L + 1)
    lengths = [
        through - seen.gather(-1, left + 1),
        seen.gather(-1, right) - before,
        (cm - cm[left.clamp(min=0)]) * _PER_CM,
        (cm[right.clamp(max=length - 1)] - cm) * _PER_CM,
        through - seen.gather(-1, left_second + 1),
        seen.gather(-1, right_second) - before,
        counts[..., -1:].expand_as(mismatch),
    ]
    boxes = [_box(counts, radius) for radius in BOX_RADII]
    return torch.log1p(torch.stack([x.float().clamp(min=0) for x in lengths + boxes], dim=-1))


def _last_two(mismatch: Bool[Tensor, "B K L"]) -> tuple[Tensor, Tensor]:
    """Index of the last and the last but one mismatch at or before each site; -1 for none."""
    index = torch.arange(mismatch.shape[-1], device=mismatch.device)
    last = torch.where(mismatch, index, -1).cummax(-1).values
    before = torch.nn.functional.pad(last, (1, 0), value=-1)  # before[j] is the last one below j
    return last, before.gather(-1, last.clamp(min=0))


def _mirror(index: Integer[Tensor, "B K L"]) -> Integer[Tensor, "B K L"]:
    """Indexes found in a flipped window, as seen from the other end; L for none."""
    return index.shape[-1] - 1 - index.flip(-1)


def _box(counts: Integer[Tensor, "B K L1"], radius: int) -> Integer[Tensor, "B K L"]:
    """Mismatches within `radius` sites, from the running count."""
    length = counts.shape[-1] - 1
    site = torch.arange(length, device=counts.device)
    high = (site + radius + 1).clamp(max=length)
    low = (site - radius).clamp(min=0)
    return counts.index_select(-1, high) - counts.index_select(-1, low)

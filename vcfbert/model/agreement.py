"""Agreement of each neighbour with the query around each site.

The embeddings of neighbours at a site differ only by their allele, because the encoder sees one
site at a time. Which neighbour is right at this site shows in the length of its match with the
query on both sides, as in the positional Burrows-Wheeler transform (Durbin 2014) and in the copying
model of Li and Stephens (2003).

B query haplotypes, K neighbours, L sites in a window, A agreement features.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vcfbert.domain import tokens
from vcfbert.model.embedding import SiteFeatures

BOX_RADII = (16, 64, 256)
"""Half widths of the boxes in which mismatches are counted, in sites."""
NUM_AGREEMENT_FEATURES = 7 + len(BOX_RADII)
_PER_CM = 1000.0  # match lengths matter from about a thousandth of a centimorgan on


def agreement_features(
    query: Integer[Tensor, "B L"], neighbours: Integer[Tensor, "B K L"], features: SiteFeatures
) -> Float[Tensor, "B K L A"]:
    """Describe the match of each neighbour with the visible alleles around each site.

    query       tokens under the mask; masked sites neither match nor mismatch
    neighbours  complete tokens
    returns     logs of: visible sites up to the next mismatch to the left and to the right,
                including this one; the same in thousandths of a centimorgan; visible sites up to
                the second mismatch, left and right; mismatches in the window; mismatches in boxes
                around the site
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
    """Index of the last and the second to last mismatch at or before each site; -1 for none."""
    index = torch.arange(mismatch.shape[-1], device=mismatch.device)
    last = torch.where(mismatch, index, -1).cummax(-1).values
    before = torch.nn.functional.pad(last, (1, 0), value=-1)  # before[j] is the last before j
    return last, before.gather(-1, last.clamp(min=0))


def _mirror(index: Integer[Tensor, "B K L"]) -> Integer[Tensor, "B K L"]:
    """Convert indexes in a flipped window to indexes in the window; L for none."""
    return index.shape[-1] - 1 - index.flip(-1)


def _box(counts: Integer[Tensor, "B K L1"], radius: int) -> Integer[Tensor, "B K L"]:
    """Mismatches within `radius` sites, from the cumulative counts."""
    length = counts.shape[-1] - 1
    site = torch.arange(length, device=counts.device)
    high = (site + radius + 1).clamp(max=length)
    low = (site - radius).clamp(min=0)
    return counts.index_select(-1, high) - counts.index_select(-1, low)

"""The positional Burrows-Wheeler order of a panel (Durbin 2014, Bioinformatics 30:1266).

At each site, the references are sorted by their alleles read backwards from it. Steps count sites
in the direction of reading.

T typed sites in W words of 64, R reference haplotypes.
"""

from __future__ import annotations

import numpy as np

from vcfbert.copying.compiled import kernel


@kernel(fastmath=False)
def count_zeros(order, alleles, out):
    """(R + 1,) REF alleles before each place of the order."""
    out[0] = 0
    for i in range(order.size):
        out[i + 1] = out[i] + 1 - alleles[order[i]]


@kernel(fastmath=False)
def sort_on(order, starts, alleles, zeros, step, spare):
    """The order and the starts of matches with the row before, one step on (Durbin's algorithm 2).

    starts  (R,) step at which the match of each row with the one before it starts
    """
    new_order, new_starts = spare
    z, o = 0, zeros
    start_zero, start_one = step + 1, step + 1
    for i in range(order.size):
        row, start = order[i], starts[i]
        start_zero, start_one = max(start_zero, start), max(start_one, start)
        if alleles[row]:
            new_order[o], new_starts[o] = row, start_one
            o, start_one = o + 1, 0
        else:
            new_order[z], new_starts[z] = row, start_zero
            z, start_zero = z + 1, 0
    order[:], starts[:] = new_order, new_starts


@kernel(fastmath=False)
def match_start(bits, query, row, step, is_reverse):
    """First step of the match between a query and a row that ends after `step` steps."""
    num_typed = query.size
    while step > 0:
        site = num_typed - step if is_reverse else step - 1
        allele = (bits[row, site >> 6] >> np.uint64(site & 63)) & np.uint64(1)
        if allele != query[site]:
            break
        step -= 1
    return step

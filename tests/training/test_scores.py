"""Counts of a batch against a slow count."""

import numpy as np
import pytest
import torch

from vcfbert.model.imputer import Logits
from vcfbert.training import scores


def f1(pairs) -> float:
    hits = sum(true and called for true, called in pairs)
    wrong = sum(true != called for true, called in pairs)
    return 2 * hits / max(2 * hits + wrong, 1)


def test_the_counts_of_two_batches_give_the_metrics_of_all_their_hidden_sites():
    generator = torch.Generator().manual_seed(1)
    is_rare = torch.arange(9) % 3 == 0
    counts, cells = torch.zeros(scores.SIZE, dtype=torch.float64), []
    genotypes = np.zeros((3, 3))
    for _ in range(2):
        logits = Logits(
            haplotype=torch.randn(4, 9, 2, generator=generator),
            genotype=torch.randn(2, 9, 3, generator=generator),
        )
        labels = torch.randint(0, 2, (4, 9), generator=generator)
        is_hidden = (torch.rand(2, 9, generator=generator) < 0.6).repeat_interleave(2, dim=0)
        labels[:, -1], is_hidden[:, -1] = 3, False  # padding
        counts += scores.count(
            logits, labels, is_hidden, is_rare, torch.tensor(2.0), torch.full((4, 3), 5.0)
        )
        called = logits.haplotype.argmax(-1)
        for row, site in is_hidden.nonzero().tolist():
            cells.append((is_rare[site].item(), labels[row, site] == 1, called[row, site] == 1))
        for person, site in is_hidden[0::2].nonzero().tolist():
            copies = int(labels[2 * person, site] + labels[2 * person + 1, site])
            genotypes[copies, int(logits.genotype[person, site].argmax())] += 1
    made = scores.summarise(counts)
    assert made.f1 == pytest.approx(f1([(t, c) for _, t, c in cells]))
    assert made.rare_f1 == pytest.approx(f1([(t, c) for rare, t, c in cells if rare]))
    assert made.common_f1 == pytest.approx(f1([(t, c) for rare, t, c in cells if not rare]))
    by_class = 2 * genotypes.diagonal() / (genotypes.sum(0) + genotypes.sum(1))
    assert made.genotype_macro_f1 == pytest.approx(by_class.mean())
    assert (made.loss, made.retrieval_distance) == (2.0, 5.0)

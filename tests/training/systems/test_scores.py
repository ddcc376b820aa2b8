"""Counts of a batch against a slow count."""

import numpy as np
import pytest
import torch

from vcfbert.model import losses
from vcfbert.model.imputer import Logits
from vcfbert.training.systems import scores


def f1(pairs) -> float:
    hits = sum(true and called for true, called in pairs)
    wrong = sum(true != called for true, called in pairs)
    return 2 * hits / max(2 * hits + wrong, 1)


def test_the_counts_of_two_batches_give_the_metrics_of_all_their_hidden_sites():
    generator = torch.Generator().manual_seed(1)
    is_rare = torch.arange(9) % 3 == 0
    counts, cells = torch.zeros(scores.SIZE, dtype=torch.float64), []
    copied, dosages = [], []
    genotypes = np.zeros((3, 3))
    for _ in range(2):
        logits = Logits(
            haplotype=torch.randn(4, 9, 2, generator=generator),
            genotype=torch.randn(2, 9, 3, generator=generator),
        )
        labels = torch.randint(0, 2, (4, 9), generator=generator)
        is_hidden = (torch.rand(2, 9, generator=generator) < 0.6).repeat_interleave(2, dim=0)
        labels[:, -1], is_hidden[:, -1] = 3, False  # padding
        neighbours = torch.randint(0, 2, (4, 3, 9), generator=generator)
        counts += scores.count(
            logits,
            labels,
            is_hidden,
            is_rare,
            2.0 * is_hidden.sum(),
            torch.full((4, 3), 5.0),
            neighbours,
            0.0,
        )
        called = logits.haplotype.argmax(-1)
        for row, site in is_hidden.nonzero().tolist():
            cells.append((is_rare[site].item(), labels[row, site] == 1, called[row, site] == 1))
            copied.append((labels[row, site] == 1, neighbours[row, 0, site] == 1))
        for sample, site in is_hidden[0::2].nonzero().tolist():
            copies = int(labels[2 * sample, site] + labels[2 * sample + 1, site])
            alt = logits.haplotype.softmax(-1)[2 * sample : 2 * sample + 2, site, 1]
            dosages.append((copies, alt.sum().item()))
            genotypes[copies, int(logits.genotype[sample, site].argmax())] += 1
    made = scores.summarise(counts)
    assert made.f1 == pytest.approx(f1([(t, c) for _, t, c in cells]))
    assert made.rare_f1 == pytest.approx(f1([(t, c) for rare, t, c in cells if rare]))
    assert made.common_f1 == pytest.approx(f1([(t, c) for rare, t, c in cells if not rare]))
    by_class = 2 * genotypes.diagonal() / (genotypes.sum(0) + genotypes.sum(1))
    assert made.genotype_macro_f1 == pytest.approx(by_class.mean())
    true, imputed = np.array(dosages).T
    assert made.r2 == pytest.approx(np.corrcoef(true, imputed)[0, 1] ** 2)
    assert made.retrieval_f1 == pytest.approx(f1(copied))
    assert made.retrieval_agreement == pytest.approx(np.mean([t == c for t, c in copied]))
    assert (made.loss, made.retrieval_distance) == (2.0, 5.0)


def test_dosages_are_corrected_for_the_focal_loss():
    generator = torch.Generator().manual_seed(2)
    logits = Logits(
        haplotype=torch.randn(2, 40, 2, generator=generator), genotype=torch.zeros(1, 40, 3)
    )
    labels = torch.randint(0, 2, (2, 40), generator=generator)
    hidden, rare = torch.ones(2, 40, dtype=torch.bool), torch.zeros(40, dtype=torch.bool)
    near = (torch.zeros(()), torch.zeros(2, 1), torch.zeros(2, 1, 40, dtype=torch.long))
    made = scores.summarise(scores.count(logits, labels, hidden, rare, *near, 2.0))
    dosage = losses.posterior(logits.haplotype, 2.0)[..., 1].sum(0)
    truth = labels.sum(0).double()
    expected = torch.corrcoef(torch.stack([truth, dosage]))[0, 1] ** 2
    assert made.r2 == pytest.approx(expected.item())
    plain = torch.corrcoef(torch.stack([truth, logits.haplotype.softmax(-1)[..., 1].sum(0)]))
    assert made.r2 != pytest.approx(plain[0, 1].item() ** 2)

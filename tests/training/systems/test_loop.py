"""Each setting of the loss does what it says, from logits to the sum that is minimised."""

import torch
from torch.testing import assert_close

from vcfbert.config import LossConfig
from vcfbert.domain import tokens
from vcfbert.model import losses
from vcfbert.model.imputer import Logits
from vcfbert.training.systems.loop import total_loss
from vcfbert.training.systems.tensors import BatchTensors

GENERATOR = torch.Generator().manual_seed(3)
LABELS = torch.tensor([[0, 1, 1, 0, tokens.MISSING], [1, 1, 0, 0, 1]])
HIDDEN = torch.tensor([[True, True, False, False, False], [True, True, False, False, True]])
LOGITS = Logits(
    haplotype=torch.randn(2, 5, 2, generator=GENERATOR),
    genotype=torch.randn(1, 5, 3, generator=GENERATOR),
)


def inputs() -> BatchTensors:
    return BatchTensors(
        query=torch.where(HIDDEN, tokens.MASK, LABELS),
        labels=LABELS,
        is_hidden=HIDDEN,
        neighbours=torch.zeros(2, 1, 5, dtype=torch.long),
        distances=torch.zeros(2, 1),
        retrieved=torch.zeros(5, 5, 4),
    )


def loss_of(**changes) -> torch.Tensor:
    plain = {"focal_gamma": 0.0, "genotype_weight": 0.0, "reconstruction_weight": 0.0}
    return total_loss(LOGITS, inputs(), LossConfig(**plain | changes))


def test_gamma_reaches_the_loss():
    for gamma in (0.0, 2.0):
        expected = losses.focal(LOGITS.haplotype, LABELS, HIDDEN, gamma)
        assert_close(loss_of(focal_gamma=gamma), expected)
    assert loss_of(focal_gamma=2.0) < loss_of()


def test_the_genotype_head_is_paid_by_its_weight_where_both_haplotypes_are_hidden():
    both = torch.tensor([[True, True, False, False, False]])
    genotype = losses.focal(LOGITS.genotype, torch.tensor([[1, 2, 0, 0, 0]]), both, 0.0)
    assert_close(loss_of(genotype_weight=0.7), loss_of() + 0.7 * genotype)


def test_reconstruction_pays_for_visible_alleles_and_never_for_missing_ones():
    visible = torch.tensor([[False, False, True, True, False], [False, False, True, True, False]])
    seen = losses.focal(LOGITS.haplotype, LABELS, visible, 0.0)
    assert_close(loss_of(reconstruction_weight=0.3), loss_of() + 0.3 * seen)


def test_without_reconstruction_visible_sites_have_no_gradient():
    haplotype = LOGITS.haplotype.clone().requires_grad_()
    for weight in (0.0, 0.3):
        settings = LossConfig(genotype_weight=0.0, reconstruction_weight=weight)
        total = total_loss(Logits(haplotype, LOGITS.genotype), inputs(), settings)
        (gradient,) = torch.autograd.grad(total, haplotype)
        assert bool((gradient[:, 2:4] != 0).any()) == (weight > 0)
        assert not bool((gradient[0, 4] != 0).any())  # missing: no label, whatever is paid for

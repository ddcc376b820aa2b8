"""Each setting of the loss does what it says, from logits to the sum that is minimised."""

from dataclasses import replace

import torch
from torch.testing import assert_close

from tests.model.networks import site_features, small_network
from tests.pipelines.systems.test_train_systems import small_settings
from vcfbert import config
from vcfbert.config import LossConfig
from vcfbert.domain import tokens
from vcfbert.domain.sites import TRAIN
from vcfbert.model import losses
from vcfbert.model.imputer import Logits
from vcfbert.training import devices
from vcfbert.training.systems import loop, masking, objective
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.objective import Counted
from vcfbert.training.systems.schedule import Work
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


COUNTED = Counted(alleles=5, genotypes=2, visible=4, contrasts=0)
NETWORK, FEATURES = small_network(), site_features()  # read by the contrastive loss only


def total(logits, settings) -> torch.Tensor:
    return objective.terms(NETWORK, logits, inputs(), FEATURES, settings).total(COUNTED)


def loss_of(**changes) -> torch.Tensor:
    plain = {"focal_gamma": 0.0, "genotype_weight": 0.0, "reconstruction_weight": 0.0}
    return total(LOGITS, LossConfig(**plain | changes))


def test_gamma_reaches_the_loss():
    for gamma in (0.0, 2.0):
        expected = losses.focal(LOGITS.haplotype, LABELS, HIDDEN, gamma) / 5
        assert_close(loss_of(focal_gamma=gamma), expected)
    assert loss_of(focal_gamma=2.0) < loss_of()


def test_the_genotype_head_is_paid_by_its_weight_where_both_haplotypes_are_hidden():
    both = torch.tensor([[True, True, False, False, False]])
    genotype = losses.focal(LOGITS.genotype, torch.tensor([[1, 2, 0, 0, 0]]), both, 0.0) / 2
    assert_close(loss_of(genotype_weight=0.7), loss_of() + 0.7 * genotype)


def test_reconstruction_pays_for_visible_alleles_and_never_for_missing_ones():
    visible = torch.tensor([[False, False, True, True, False], [False, False, True, True, False]])
    seen = losses.focal(LOGITS.haplotype, LABELS, visible, 0.0) / 4
    assert_close(loss_of(reconstruction_weight=0.3), loss_of() + 0.3 * seen)


def test_without_reconstruction_visible_sites_have_no_gradient():
    haplotype = LOGITS.haplotype.clone().requires_grad_()
    for weight in (0.0, 0.3):
        settings = LossConfig(genotype_weight=0.0, reconstruction_weight=weight)
        loss = total(Logits(haplotype, LOGITS.genotype), settings)
        (gradient,) = torch.autograd.grad(loss, haplotype)
        assert bool((gradient[:, 2:4] != 0).any()) == (weight > 0)
        assert not bool((gradient[0, 4] != 0).any())  # missing: no label, whatever is paid for


def test_accumulated_batches_give_the_gradient_of_one_large_batch(fx_maker):
    """Each sample has its own mask, so the batches hide different shares of their sites."""
    settings = config.merge(
        small_settings(),
        {
            "model": {"dropout": 0.0},
            "masks": {"policy": "smart_balanced", "alt_rate": 0.4},
            "loss": {"reconstruction_weight": 0.3, "contrastive_weight": 0.5, "focal_gamma": 1.0},
        },
        source="test",
    )
    maker = BatchMaker(
        fx_maker.panel, fx_maker.index, fx_maker.embeddings, fx_maker.settings, settings.loss
    )
    masks = masking.plan(settings.masks, 1, maker.panel).of_training(0, 0.2)
    samples = maker.panel.samples.in_splits(TRAIN)[:6]
    whole = gradients(settings, maker, masks, [Work(1, samples)])
    parts = [Work(1, samples[:1]), Work(1, samples[1:4]), Work(1, samples[4:])]
    counts = [Counted.in_batch(masks.batch(maker, part)) for part in parts]
    assert len({one.alleles / one.visible for one in counts}) == 3
    apart = flat(gradients(settings, maker, masks, parts)) - flat(whole)
    assert float(apart.norm() / flat(whole).norm()) < 1e-6


def flat(named: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([named[name].flatten().double() for name in sorted(named)])


def gradients(settings, maker, masks, plan) -> dict[str, torch.Tensor]:
    """The gradient of one optimizer step over the batches of a plan."""
    training = replace(
        settings.training, accumulation=len(plan), gradient_clip=1e6, warmup_steps=1000
    )
    state = loop.new_state(
        settings.model, training, 1, devices.choose_device("cpu"), focal_gamma=1.0
    )
    seen: dict[str, torch.Tensor] = {}
    step = state.optimizer.step

    def noting(*arguments, **named):
        for name, parameter in state.model.named_parameters():
            if parameter.grad is not None:
                seen[name] = parameter.grad.clone()
        return step(*arguments, **named)

    state.optimizer.step = noting
    loop.train_epoch(state, training, settings.loss, maker, masks, plan, lambda *_: True, seed=1)
    assert state.step == 1
    return seen

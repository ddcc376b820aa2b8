"""Named systems: functions that return a complete config."""

from __future__ import annotations

from collections.abc import Callable

from vcfbert.config import (
    Config,
    LossConfig,
    MaskConfig,
    ModelConfig,
    RefreshConfig,
    RetrievalConfig,
    TrainingConfig,
)
from vcfbert.errors import ConfigError

_PUBLISHED_LOSS = LossConfig(focal_gamma=2.0, genotype_weight=0.5, reconstruction_weight=0.0)


def _v18(
    name: str, *, width: int, num_layers: int, num_heads: int, batch: int, accumulation: int
) -> Config:
    """The systems that search in the space of embeddings, at one size."""
    return Config(
        preset=name,
        model=ModelConfig(width=width, num_layers=num_layers, num_heads=num_heads),
        retrieval=RetrievalConfig(num_neighbours=32),
        training=TrainingConfig(batch_size=batch, accumulation=accumulation),
    )


def _published_training(*, batch: int, accumulation: int) -> TrainingConfig:
    """Training as published; each value is given, so that new defaults do not change it."""
    return TrainingConfig(
        batch_size=batch,
        accumulation=accumulation,
        learning_rate=7.5e-5,
        warmup_steps=100,
        schedule="constant",
        gradient_clip=1.0,
        val_metric="f1",
        patience=5,
        min_delta=0.001,
        rare_maf=0.05,
        folds=0,
    )


def tiny() -> Config:
    """For tests and the demo."""
    return Config(
        preset="tiny",
        model=ModelConfig(width=32, num_layers=2, num_heads=2),
        retrieval=RetrievalConfig(num_neighbours=16),
        masks=MaskConfig(start_rate=0.5, levels=(0.5,)),
        training=TrainingConfig(
            batch_size=8,
            accumulation=1,
            learning_rate=2e-3,
            warmup_steps=20,
            batches_per_epoch=150,  # with max_minutes, so that the demo stays below five minutes
            max_epochs=3,
            max_minutes=2.5,
            validation_batches=26,
        ),
    )


def v13() -> Config:
    """Baseline: a small network without retrieval."""
    return Config(
        preset="v13",
        model=ModelConfig(width=128, num_layers=8, num_heads=4, retrieved="none", copy_skip=False),
        retrieval=RetrievalConfig(space="none", num_neighbours=0, num_segments=1),
        training=TrainingConfig(batch_size=64, accumulation=1),
        refresh=RefreshConfig(embeddings_every=0),
    )


def v17() -> Config:
    """One neighbour, found by its tokens and passed through the whole network in every batch."""
    return Config(
        preset="v17",
        model=ModelConfig(width=192, num_layers=10, num_heads=6, retrieved="through"),
        retrieval=RetrievalConfig(space="token", num_neighbours=1, num_segments=1),
        masks=MaskConfig(start_rate=0.5, levels=(0.5,)),
        training=TrainingConfig(batch_size=16, accumulation=1),
        refresh=RefreshConfig(masks_every=0, embeddings_every=0),
    )


def v17_published() -> Config:
    """v17 as published: without the neighbour's votes and without copying its alleles."""
    return Config(
        preset="v17-published",
        model=ModelConfig(
            width=192,
            num_layers=10,
            num_heads=6,
            retrieved="through",
            fusion="mean",
            copy_skip=False,
            votes=False,
        ),
        retrieval=RetrievalConfig(space="token", num_neighbours=1, num_segments=1),
        masks=MaskConfig(start_rate=0.5, levels=(0.5,)),
        loss=_PUBLISHED_LOSS,
        training=_published_training(batch=16, accumulation=1),
        refresh=RefreshConfig(masks_every=0, embeddings_every=0),
    )


def v18_published() -> Config:
    """v18 as published: one neighbour, without its votes and without copying its alleles."""
    return Config(
        preset="v18-published",
        model=ModelConfig(
            width=192, num_layers=10, num_heads=6, fusion="mean", copy_skip=False, votes=False
        ),
        retrieval=RetrievalConfig(num_neighbours=1, num_segments=1),
        loss=_PUBLISHED_LOSS,
        training=_published_training(batch=32, accumulation=2),
    )


def v18_current() -> Config:
    """The base size of v18."""
    return _v18("v18-current", width=192, num_layers=10, num_heads=6, batch=32, accumulation=2)


def v18_medium() -> Config:
    """Wider than v18-current."""
    return _v18("v18-medium", width=256, num_layers=10, num_heads=8, batch=32, accumulation=2)


def v18_large() -> Config:
    """More layers than v18-medium."""
    return _v18("v18-large", width=256, num_layers=12, num_heads=8, batch=32, accumulation=2)


def v18_xl() -> Config:
    """Wider than v18-large."""
    return _v18("v18-xl", width=384, num_layers=12, num_heads=12, batch=24, accumulation=3)


def v18_deep() -> Config:
    """More layers than v18-xl."""
    return _v18("v18-deep", width=384, num_layers=16, num_heads=12, batch=20, accumulation=1)


def v18_max() -> Config:
    """The largest that fits one GPU with 80 GB."""
    return _v18("v18-max", width=512, num_layers=12, num_heads=16, batch=16, accumulation=1)


def mosaic() -> Config:
    """The copying model and a small network, for a CPU; what `impute` uses."""
    return Config(preset="mosaic", system="mosaic")


PRESETS: dict[str, Callable[[], Config]] = {
    "tiny": tiny,
    "mosaic": mosaic,
    "v13": v13,
    "v17-published": v17_published,
    "v17": v17,
    "v18-published": v18_published,
    "v18-current": v18_current,
    "v18-medium": v18_medium,
    "v18-large": v18_large,
    "v18-xl": v18_xl,
    "v18-deep": v18_deep,
    "v18-max": v18_max,
}


def get(name: str) -> Config:
    """The settings of a preset; ConfigError listing the presets if there is none of that name."""
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset {name!r}. Known presets: {', '.join(PRESETS)}.")
    return PRESETS[name]()


def flag(name: str) -> str:
    """The option that chooses the settings of this name on a command line."""
    return f"--preset {name}" if name in PRESETS else "--config FILE"


def of_system(system: str) -> list[str]:
    """Names of the presets of one system."""
    return [name for name, make in PRESETS.items() if make().system == system]

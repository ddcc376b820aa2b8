"""Every setting of a run, as frozen dataclasses that TOML files and `--set` can change.

A bad value fails where it was written. Machine matters (paths, device, threads) are flags of the
command line and not here; what changes the science is here and saved with every output.
"""

from vcfbert.config.sections import (
    Config,
    LossConfig,
    MaskConfig,
    ModelConfig,
    MosaicConfig,
    RefreshConfig,
    RefreshOn,
    RetrievalConfig,
    TrainingConfig,
    ValidationMetric,
)
from vcfbert.config.settings import (
    assignments,
    fields_of,
    from_dict,
    load,
    merge,
    to_dict,
    to_toml,
)

__all__ = [
    "Config",
    "LossConfig",
    "MaskConfig",
    "ModelConfig",
    "MosaicConfig",
    "RefreshConfig",
    "RefreshOn",
    "RetrievalConfig",
    "TrainingConfig",
    "ValidationMetric",
    "assignments",
    "fields_of",
    "from_dict",
    "load",
    "merge",
    "to_dict",
    "to_toml",
]

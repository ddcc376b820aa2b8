"""Every setting of a run, as frozen dataclasses that TOML files and `--set` can change.

Settings that change the results are here and are saved with every output. Settings of the machine
(paths, device, threads) are options of the command line.
"""

from vcfbert.config.agreement import reads_embeddings
from vcfbert.config.config import Config
from vcfbert.config.sections import (
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
    "reads_embeddings",
    "to_dict",
    "to_toml",
]

"""Genotype imputation from a phased reference panel, by local copying and by a retrieving BERT.

>>> import vcfbert
>>> vcfbert.prepare("panel.vcf.gz", workspace="work")                        # doctest: +SKIP
>>> vcfbert.impute("target.vcf.gz", "imputed.vcf.gz", workspace="work")      # doctest: +SKIP
"""

from vcfbert.api import evaluate, impute, merge, phase, prepare, simulate, train
from vcfbert.errors import VcfbertError
from vcfbert.versions import __version__

__all__ = [
    "VcfbertError",
    "__version__",
    "evaluate",
    "impute",
    "merge",
    "phase",
    "prepare",
    "simulate",
    "train",
]

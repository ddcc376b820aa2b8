"""Every stored array once: name, dtype, dimensions, meaning, and each kind's format version.

Letters as in the glossary: S sites, W windows, L sites in a window, N samples, H = 2 N haplotypes
of the panel (sample n has haplotypes 2 n and 2 n + 1), R reference haplotypes, D embedding width,
V vocabulary, P populations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vcfbert.domain import sites

Kind = Literal["panel", "masks", "embeddings"]

FORMAT_VERSION: dict[Kind, int] = {"panel": 2, "masks": 2, "embeddings": 2}

CHECKPOINT_FORMAT = 5
"""Of the checkpoints of a run; here, where it is known without PyTorch."""

MADE_BY: dict[Kind, str] = {
    "panel": "prepare PANEL",
    "masks": "refresh --masks",
    "embeddings": "encode-refs",
}

AGAIN: dict[Kind, str] = {
    "panel": "prepare PANEL --force",
    "masks": "refresh --masks",
    "embeddings": "encode-refs --force",
}
"""Commands that make a store again where one stands."""

SPLITS = sites.SPLITS
"""Order of the split codes and of the columns of `sites/alt_count`."""

SITE_TYPES = ("SNV", "insertion", "deletion", "other")
"""Order of the codes in `sites/type`."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of a store."""

    kind: Kind
    name: str
    dtype: str
    dims: str
    meaning: str


ARRAYS = (
    ArraySpec("panel", "alleles", "uint8", "W H ceil(L/8)",
              "Packed alleles, the first site in the lowest bit, 1 is ALT; one chunk holds "
              "haplotypes of one window, because one window's references are read together."),
    ArraySpec("panel", "windows/start", "int64", "W", "First site the model sees."),
    ArraySpec("panel", "windows/stop", "int64", "W", "Past the last site the model sees."),
    ArraySpec("panel", "windows/core_start", "int64", "W", "First site the window answers for."),
    ArraySpec("panel", "windows/core_stop", "int64", "W", "Past the last such site."),
    ArraySpec("panel", "sites/contig", "int32", "S", "Index into the attribute `contigs`."),
    ArraySpec("panel", "sites/position", "int32", "S", "1-based position, as in the VCF."),
    ArraySpec("panel", "sites/id", "text", "S", "VCF ID; `.` where absent."),
    ArraySpec("panel", "sites/ref", "text", "S", "REF allele."),
    ArraySpec("panel", "sites/alt", "text", "S", "The one ALT allele of the biallelic site."),
    ArraySpec("panel", "sites/type", "int8", "S", "0 SNV, 1 insertion, 2 deletion, 3 other."),
    ArraySpec("panel", "sites/cm", "float64", "S", "Genetic position in centimorgans."),
    ArraySpec("panel", "sites/alt_count", "int32", "S 3",
              "ALT copies among the train, validation and test samples."),
    ArraySpec("panel", "sites/population_alt_count", "int32", "S P",
              "ALT copies among the train samples of each superpopulation (of each population "
              "where the sample table has no superpopulations); attribute `populations`."),
    ArraySpec("panel", "samples/name", "text", "N", "Sample names, in VCF order."),
    ArraySpec("panel", "samples/population", "text", "N", "Population; `.` where unknown."),
    ArraySpec("panel", "samples/superpopulation", "text", "N",
              "Superpopulation; `.` where unknown."),
    ArraySpec("panel", "samples/split", "int8", "N", "0 train, 1 validation, 2 test."),
    ArraySpec("masks", "is_masked", "bool", "W L", "True where the site is hidden; never padding."),
    ArraySpec("embeddings", "codebook", "float32", "W V L D",
              "Raw embedding of each token at each site of each window; the complete and masked "
              "embeddings of any haplotype are gathers from it. The layout `dense` has it too, to "
              "embed queries, who are not all references."),
    ArraySpec("embeddings", "reference_haplotypes", "int64", "R",
              "Panel haplotype of each row: those of the train samples."),
    ArraySpec("embeddings", "complete", "float32", "W R L D",
              "Layout `dense`: embeddings of the unmasked tokens; one uncompressed chunk a "
              "window, memory-mapped."),
    ArraySpec("embeddings", "masked", "float32", "W R L D",
              "Layout `dense`: embeddings of the tokens under the mask version named in the "
              "attributes."),
    ArraySpec("embeddings", "is_masked", "bool", "W L",
              "Layout `dense`: that mask version, to refuse any other."),
)  # fmt: skip


def arrays_of(kind: Kind) -> tuple[ArraySpec, ...]:
    """The arrays a store of this kind may hold."""
    return tuple(spec for spec in ARRAYS if spec.kind == kind)


def find(kind: Kind, name: str) -> ArraySpec:
    """The declaration of one array; writing an undeclared one is a programming error."""
    return next(spec for spec in ARRAYS if spec.kind == kind and spec.name == name)

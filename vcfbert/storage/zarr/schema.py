"""Declarations of every stored array, and the format version of each kind of store.

Letters as in the glossary: S sites, W windows, L sites in a window, N samples, H = 2 N haplotypes
of the panel (sample n has haplotypes 2 n and 2 n + 1), R reference haplotypes, D embedding width,
V vocabulary, P populations, E weights of the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vcfbert.domain import sites

Kind = Literal["panel", "masks", "embeddings"]

FORMAT_VERSION: dict[Kind, int] = {"panel": 4, "masks": 2, "embeddings": 3}

CHECKPOINT_FORMAT = 6
"""Of the checkpoints of a run; declared here so that reading it needs no PyTorch."""

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
"""Commands that rebuild a store that exists."""

SPLITS = sites.SPLITS
"""Order of the split codes and of the columns of `sites/alt_count`."""

SITE_TYPES = ("SNV", "insertion", "deletion", "other")
"""Order of the codes in `sites/type`."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of a store.

    dtype  its data type, `text`, or several that a store may choose from: `float32 or float16`
    """

    kind: Kind
    name: str
    dtype: str
    dims: str
    meaning: str

    @property
    def dtypes(self) -> tuple[str, ...]:
        """NumPy names of the data types that it may have, the usual one first."""
        return ("uint8",) if self.dtype == "text" else tuple(self.dtype.split(" or "))


ARRAYS = (
    ArraySpec("panel", "alleles", "uint8", "W H ceil(L/8)",
              "Packed alleles, the first site in the lowest bit, 1 is ALT; a chunk has haplotypes "
              "of one window, because the references of a window are read at once."),
    ArraySpec("panel", "windows/start", "int64", "W", "First site the model sees."),
    ArraySpec("panel", "windows/stop", "int64", "W", "Past the last site the model sees."),
    ArraySpec("panel", "windows/core_start", "int64", "W", "First site that the window predicts."),
    ArraySpec("panel", "windows/core_stop", "int64", "W", "Past the last predicted site."),
    ArraySpec("panel", "sites/contig", "int32", "S", "Index into the attribute `contigs`."),
    ArraySpec("panel", "sites/position", "int32", "S", "1-based position, as in the VCF."),
    ArraySpec("panel", "sites/id", "text", "S", "VCF ID; `.` if absent."),
    ArraySpec("panel", "sites/record", "int32", "S",
              "Number of the record among those kept; the sites of a multi-allelic record share "
              "it."),
    ArraySpec("panel", "sites/ref", "text", "S", "REF allele, as in the VCF."),
    ArraySpec("panel", "sites/alt", "text", "S",
              "ALT allele, as in the VCF: bases, `<DEL>`, `*`, a breakend."),
    ArraySpec("panel", "sites/info", "text", "S",
              "INFO of a structural variant, such as SVTYPE, END and SVLEN; `.` for nothing."),
    ArraySpec("panel", "sites/type", "int8", "S", "0 SNV, 1 insertion, 2 deletion, 3 other."),
    ArraySpec("panel", "sites/cm", "float64", "S", "Genetic position in centimorgans."),
    ArraySpec("panel", "sites/alt_count", "int32", "S 3",
              "ALT copies among the train, validation and test samples."),
    ArraySpec("panel", "sites/population_alt_count", "int32", "S P",
              "ALT copies among the train samples of each superpopulation (of each population "
              "if the sample table has no superpopulations), as in the attribute `populations`."),
    ArraySpec("panel", "samples/name", "text", "N", "Sample names, in VCF order."),
    ArraySpec("panel", "samples/population", "text", "N", "Population; `.` if unknown."),
    ArraySpec("panel", "samples/superpopulation", "text", "N",
              "Superpopulation; `.` if unknown."),
    ArraySpec("panel", "samples/split", "int8", "N", "0 train, 1 validation, 2 test."),
    ArraySpec("masks", "is_masked", "bool", "W L", "True where the site is masked; never padding."),
    ArraySpec("embeddings", "codebook", "float32", "W V L D",
              "Raw embedding of each token at each site of each window; the complete and masked "
              "embeddings of any haplotype are gathered from it. The layout `dense` has it too, "
              "because queries are not always references."),
    ArraySpec("embeddings", "reference_haplotypes", "int64", "R",
              "Panel haplotype of each row; all are of train samples."),
    ArraySpec("embeddings", "encoder", "float32", "E",
              "Weights of the encoder that made them, one after another in the order of the "
              "attribute `encoder_weights`, which has their names and shapes; `train` starts its "
              "encoder from them."),
    ArraySpec("embeddings", "complete", "float32 or float16", "W R L D",
              "Layout `dense`: embeddings of the unmasked tokens. A chunk is one haplotype in one "
              "window, so that it can be read alone; an uncompressed shard is a window, which is "
              "memory-mapped."),
    ArraySpec("embeddings", "masked", "float32 or float16", "W R L D",
              "Layout `dense`: embeddings of the tokens under the mask version in the attributes."),
    ArraySpec("embeddings", "is_masked", "bool", "W L",
              "Layout `dense`: the masks of that version, so that others are refused."),
)  # fmt: skip


def arrays_of(kind: Kind) -> tuple[ArraySpec, ...]:
    """The arrays that a store of this kind may have."""
    return tuple(spec for spec in ARRAYS if spec.kind == kind)


def find(kind: Kind, name: str) -> ArraySpec:
    """The declaration of one array; writing an undeclared array is a programming error."""
    return next(spec for spec in ARRAYS if spec.kind == kind and spec.name == name)

"""Writing predictions as VCF.gz or BCF with an index, in site order, a stretch at a time.

n consecutive sites, N people.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cyvcf2
import numpy as np
import pysam
from numpy.typing import NDArray

import vcfbert
from vcfbert.domain.dosage import Imputed
from vcfbert.domain.sites import Sites
from vcfbert.errors import InputError, StoreError

# At a site with one carrier among 250 people, an error of 1e-4 in everyone's probabilities moves
# the quality score by 1 %; six decimals keep scores of the file equal to scores of the arrays.
DECIMALS = 6

_MODES = {".vcf.gz": "wz", ".bcf": "wb"}
_GT = np.array(["0|0", "0|1", "1|0", "1|1"])
_HEADER = """\
##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="All filters passed">
##source=vcfbert {version}
{contigs}\
##INFO=<ID=AF,Number=A,Type=Float,Description="ALT frequency in this file, from dosages">
##INFO=<ID=IMP,Number=0,Type=Flag,Description="Imputed">
##INFO=<ID=TYPED,Number=0,Type=Flag,Description="Typed: the genotypes are as given">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Best-guess phased genotype">
##FORMAT=<ID=DS,Number=A,Type=Float,Description="Expected ALT copies, 0 to 2">
##FORMAT=<ID=HDS,Number=2,Type=Float,Description="Probability of ALT on each haplotype">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="Probabilities of 0, 1 and 2 ALT copies">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}
"""


def check_path(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a name that tells no format, and a file that is not to be replaced."""
    _suffix(path)
    if path.exists() and not overwrite:
        raise StoreError.exists(path)


@contextmanager
def create_predictions(
    path: Path, sites: Sites, names: Sequence[str], *, overwrite: bool = False
) -> Iterator[PredictionWriter]:
    """Yield a writer whose file and index appear at `path` only if the block completes.

    path   ends in .vcf.gz (indexed as .tbi) or .bcf (indexed as .csi)
    names  of the N people

    Raises InputError for another ending and StoreError where a file stands there.
    """
    check_path(path, overwrite=overwrite)
    suffix = _suffix(path)
    index_suffix = ".tbi" if suffix == ".vcf.gz" else ".csi"
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    index, partial_index = (Path(f"{file}{index_suffix}") for file in (path, partial))
    _claim(partial, path)
    try:
        writer = PredictionWriter(partial, _MODES[suffix], sites, names)
        try:
            yield writer
        finally:
            writer.close()
        pysam.tabix_index(
            str(partial),
            preset="vcf",  # a BCF tells itself apart
            csi=index_suffix == ".csi",
            index=str(partial_index),
            force=True,
        )
        index.unlink(missing_ok=True)  # never an old index beside a new file
        partial.replace(path)
        partial_index.replace(index)
    except OSError as error:
        raise StoreError.unwritable(path, error) from error
    finally:
        partial.unlink(missing_ok=True)
        partial_index.unlink(missing_ok=True)


class PredictionWriter:
    """An open file; `create_predictions` is the way in."""

    def __init__(self, path: Path, mode: str, sites: Sites, names: Sequence[str]) -> None:
        """Write the header."""
        header = _HEADER.format(
            version=vcfbert.__version__,
            contigs="".join(f"##contig=<ID={contig}>\n" for contig in sites.contigs),
            names="\t".join(names),
        )
        self._sites = sites
        self._writer = cyvcf2.Writer.from_string(str(path), header, mode=mode)

    def write(self, first: int, imputed: Imputed, is_imputed: NDArray[np.bool_]) -> None:
        """Write n sites of the panel from site `first` on; calls come in site order.

        imputed     arrays over (n, N)
        is_imputed  (n,) True where the site was hidden, False where it was typed
        """
        genotypes = _GT[2 * imputed.calls[..., 0] + imputed.calls[..., 1]]
        dosage, haplotypes, probabilities = (
            np.round(values, DECIMALS).astype(np.float32)
            for values in (imputed.dosage, imputed.alt_probability, imputed.genotype_probability)
        )
        frequency = imputed.dosage.mean(axis=1, dtype=np.float64) / 2
        for row in range(len(is_imputed)):
            flag = "IMP" if is_imputed[row] else "TYPED"
            record = self._writer.variant_from_string(
                f"{self._place(first + row)}\t.\tPASS\tAF={frequency[row]:.6g};{flag}\tGT\t"
                + "\t".join(genotypes[row].tolist())
            )
            record.set_format("DS", dosage[row, :, None])
            record.set_format("HDS", haplotypes[row])
            record.set_format("GP", probabilities[row])
            self._writer.write_record(record)

    def close(self) -> None:
        """Flush what is left."""
        self._writer.close()

    def _place(self, site: int) -> str:
        """CHROM to ALT of a record."""
        sites = self._sites
        contig, position = sites.contigs[sites.contig[site]], sites.position[site]
        return (
            f"{contig}\t{position}\t{sites.identifier[site]}\t{sites.ref[site]}\t{sites.alt[site]}"
        )


def _claim(partial: Path, path: Path) -> None:
    """Make an empty file, because htslib only prints why it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise StoreError.unwritable(path, error) from error


def _suffix(path: Path) -> str:
    suffix = next((suffix for suffix in _MODES if path.name.endswith(suffix)), None)
    if suffix is None:
        raise InputError(
            f"Predictions cannot be written to {path}: its name must end in .vcf.gz or .bcf."
        )
    return suffix

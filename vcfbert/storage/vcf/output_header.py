"""Header of an imputed VCF, and layout of its sample columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vcfbert import versions
from vcfbert.domain.genome import UNKNOWN, Genome
from vcfbert.errors import ConfigError

FIELDS = ("GT", "DS", "HDS", "GP")
MAX_DECIMALS = 7  # float32 has no more

# At a site with one carrier among 250 samples, an error of 1e-4 in all probabilities changes IQS by
# 1 %; with six decimals, scores computed from the file equal those computed from the arrays.
DECIMALS = 6

_INFO = {
    "AC": 'Number=A,Type=Integer,Description="ALT copies in the best-guess genotypes"',
    "AN": 'Number=1,Type=Integer,Description="Alleles in the best-guess genotypes"',
    "AF": 'Number=A,Type=Float,Description="ALT frequency in this file, from dosages"',
    "DR2": "Number=A,Type=Float,Description="
    '"Estimated squared correlation of imputed and true ALT dosage"',
    "PR2": "Number=A,Type=Float,Description="
    '"Estimated r2 of an imputed site with these typed sites, from samples of the panel; the same '
    'for any number of samples"',
    "ER2": "Number=A,Type=Float,Description="
    '"Squared correlation of the typed ALT dosage and the one imputed without this site"',
    "IMP": 'Number=0,Type=Flag,Description="Imputed"',
    "TYPED": 'Number=0,Type=Flag,Description="Typed in the target; missing alleles are imputed"',
    "TYPED_ONLY": 'Number=0,Type=Flag,Description="Typed in the target and not in the panel; '
    'genotypes as in the target"',
}
_FORMAT = {
    "GT": 'Number=1,Type=String,Description="Best-guess phased genotype"',
    "DS": 'Number=A,Type=Float,Description="Expected ALT copies, 0 to 2"',
    "HDS": 'Number=2,Type=Float,Description="Probability of ALT on each haplotype"',
    "GP": 'Number=G,Type=Float,Description="Probabilities of 0, 1 and 2 ALT copies"',
    "LDS": 'Number=2,Type=Float,Description="Probability of ALT on each haplotype, imputed as if '
    'the site were not typed"',
}
_HAPLOID_FORMAT = {
    "DS": 'Number=A,Type=Float,Description="Expected ALT copies, 0 to 2, or to 1 if haploid"',
    "HDS": 'Number=.,Type=Float,Description="Probability of ALT on each haplotype"',
    "GP": 'Number=G,Type=Float,Description="Probabilities of 0, 1 and 2 ALT copies, or of 0 and 1 '
    'if haploid"',
    "LDS": 'Number=.,Type=Float,Description="Probability of ALT on each haplotype, imputed as if '
    'the site were not typed"',
}
_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
_NUMBERS = {"GT": 0, "DS": 1, "HDS": 2, "GP": 3, "LDS": 2}


@dataclass(frozen=True, kw_only=True)
class HeaderFacts:
    """How the predictions were made; None is left out of the header.

    checkpoint  name of the weights
    genome      lengths and assemblies of the contigs
    extra       whole lines, `##key=value`
    has_haploids  True if samples may be haploid
    """

    checkpoint: str | None = None
    checkpoint_fingerprint: str | None = None
    panel_fingerprint: str | None = None
    genome: Genome = UNKNOWN
    extra: tuple[str, ...] = ()
    has_haploids: bool = False


@dataclass(frozen=True)
class CellLayout:
    """Fields of a sample column.

    fields    some of FIELDS, in the order of the file
    decimals  1 to MAX_DECIMALS; trailing zeros are left out
    """

    fields: tuple[str, ...]
    decimals: int

    @classmethod
    def of(cls, fields: Sequence[str], decimals: int = DECIMALS) -> CellLayout:
        """Check the fields and put GT first, as the VCF specification requires.

        >>> CellLayout.of(["DS", "GT"]).fields
        ('GT', 'DS')
        """
        if not fields or len(set(fields)) < len(fields) or not set(fields) <= set(FIELDS):
            raise ConfigError(
                f"The FORMAT fields {','.join(fields)!r} cannot be written. Give one or more of "
                f"{', '.join(FIELDS)}, each once."
            )
        if not 1 <= decimals <= MAX_DECIMALS:
            raise ConfigError(
                f"The number of decimals must be between 1 and {MAX_DECIMALS}, got {decimals}."
            )
        return cls(tuple(sorted(fields, key=lambda name: name != "GT")), decimals)

    @property
    def width(self) -> int:
        """Bytes of the widest cell, including its separator."""
        numbers = sum(_NUMBERS[name] for name in self.fields)
        return numbers * (self.decimals + len("0.,")) + len("0|0:") * ("GT" in self.fields)


EMPIRICAL = CellLayout(("GT", "LDS"), decimals=5)
"""Of a file for meta-imputation, as Minimac4 writes it."""


def header_text(
    facts: HeaderFacts,
    contigs: Sequence[str],
    names: Sequence[str],
    *,
    info: Collection[str],
    fields: Sequence[str],
    structural: Sequence[str] = (),
) -> str:
    """The header; the same facts always give the same text.

    names   of the samples
    info    INFO keys that records may have
    fields  FORMAT fields that all records have
    structural  whole lines that structural variants need
    """
    lines = [
        "##fileformat=VCFv4.2",
        '##FILTER=<ID=PASS,Description="All filters passed">',
        f"##source=vcfbert {versions.__version__}",
    ]
    if facts.checkpoint is not None or facts.checkpoint_fingerprint is not None:
        made_by = {"ID": facts.checkpoint, "Fingerprint": facts.checkpoint_fingerprint}
        known = [f"{key}={_value(text)}" for key, text in made_by.items() if text is not None]
        lines.append(f"##vcfbert_checkpoint=<{','.join(known)}>")
    if facts.panel_fingerprint is not None:
        lines.append(f"##vcfbert_panel={facts.panel_fingerprint}")
    lines += facts.extra
    if facts.genome.reference is not None:
        lines.append(f"##reference={facts.genome.reference}")
    lines += [_contig_line(contig, facts.genome) for contig in contigs]
    lines += structural
    lines += [info_line(key) for key in _INFO if key in info]
    about = _FORMAT | _HAPLOID_FORMAT if facts.has_haploids else _FORMAT
    lines += [f"##FORMAT=<ID={key},{about[key]}>" for key in fields]
    lines.append("\t".join((*_COLUMNS, *names)))
    return "".join(f"{line}\n" for line in lines)


def info_line(key: str) -> str:
    """The declaration of an INFO key that `impute` writes."""
    return f"##INFO=<ID={key},{_INFO[key]}>"


def _contig_line(name: str, genome: Genome) -> str:
    """Declaration of a contig."""
    parts = [f"ID={name}"]
    if name in genome.lengths:
        parts.append(f"length={genome.lengths[name]}")
    if name in genome.assemblies:
        parts.append(f"assembly={_value(genome.assemblies[name])}")
    return f"##contig=<{','.join(parts)}>"


def _value(text: str) -> str:
    """A value inside `<>`, quoted if necessary."""
    if re.fullmatch(r"[\w.:+/-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

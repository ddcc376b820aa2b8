"""What a file of predictions says of itself, and what its cells hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import vcfbert
from vcfbert.errors import ConfigError

FIELDS = ("GT", "DS", "HDS", "GP")
MAX_DECIMALS = 7  # float32 has no more

# At a site with one carrier among 250 samples, an error of 1e-4 in everyone's probabilities moves
# the quality score by 1 %; six decimals keep scores of the file equal to scores of the arrays.
DECIMALS = 6

_INFO = {
    "AF": 'Number=A,Type=Float,Description="ALT frequency in this file, from dosages"',
    "DR2": "Number=A,Type=Float,Description="
    '"Estimated squared correlation of imputed and true ALT dosage"',
    "ER2": "Number=A,Type=Float,Description="
    '"Squared correlation of the given ALT dosage and the one imputed without this site"',
    "IMP": 'Number=0,Type=Flag,Description="Imputed"',
    "TYPED": 'Number=0,Type=Flag,Description="Typed: the genotypes are as given"',
}
_FORMAT = {
    "GT": 'Number=1,Type=String,Description="Best-guess phased genotype"',
    "DS": 'Number=A,Type=Float,Description="Expected ALT copies, 0 to 2"',
    "HDS": 'Number=2,Type=Float,Description="Probability of ALT on each haplotype"',
    "GP": 'Number=G,Type=Float,Description="Probabilities of 0, 1 and 2 ALT copies"',
}
_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
_NUMBERS = {"GT": 0, "DS": 1, "HDS": 2, "GP": 3}


@dataclass(frozen=True, kw_only=True)
class HeaderFacts:
    """What the predictions were made with; what is None or absent is left out.

    checkpoint      the name of the weights
    contig_lengths  by name, where known
    extra           whole lines, `##key=value`
    """

    checkpoint: str | None = None
    checkpoint_fingerprint: str | None = None
    panel_fingerprint: str | None = None
    contig_lengths: Mapping[str, int] = field(default_factory=dict)
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellLayout:
    """What a cell holds.

    fields    some of FIELDS, in the order of the file
    decimals  1 to MAX_DECIMALS digits behind the point; trailing zeros are left out
    """

    fields: tuple[str, ...]
    decimals: int

    @classmethod
    def of(cls, fields: Sequence[str], decimals: int = DECIMALS) -> CellLayout:
        """Check the fields and put GT in front, where the VCF specification wants it.

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
        """Bytes of the widest cell, its separator included."""
        numbers = sum(_NUMBERS[name] for name in self.fields)
        return numbers * (self.decimals + len("0.,")) + len("0|0:") * ("GT" in self.fields)


def header_text(
    facts: HeaderFacts,
    contigs: Sequence[str],
    names: Sequence[str],
    *,
    info: Collection[str],
    fields: Sequence[str],
) -> str:
    """Everything above the records; the same facts give the same text on any day.

    names   of the samples
    info    keys that the records may have
    fields  FORMAT fields that all of them have
    """
    lines = [
        "##fileformat=VCFv4.2",
        '##FILTER=<ID=PASS,Description="All filters passed">',
        f"##source=vcfbert {vcfbert.__version__}",
    ]
    if facts.checkpoint is not None or facts.checkpoint_fingerprint is not None:
        made_by = {"ID": facts.checkpoint, "Fingerprint": facts.checkpoint_fingerprint}
        known = [f"{key}={_value(text)}" for key, text in made_by.items() if text is not None]
        lines.append(f"##vcfbert_checkpoint=<{','.join(known)}>")
    if facts.panel_fingerprint is not None:
        lines.append(f"##vcfbert_panel={facts.panel_fingerprint}")
    lines += facts.extra
    for contig in contigs:
        length = facts.contig_lengths.get(contig)
        lines.append(f"##contig=<ID={contig}{'' if length is None else f',length={length}'}>")
    lines += [f"##INFO=<ID={key},{_INFO[key]}>" for key in _INFO if key in info]
    lines += [f"##FORMAT=<ID={key},{_FORMAT[key]}>" for key in fields]
    lines.append("\t".join((*_COLUMNS, *names)))
    return "".join(f"{line}\n" for line in lines)


def _value(text: str) -> str:
    """As it stands inside `<>`, in quotes where it needs them."""
    if re.fullmatch(r"[\w.:+/-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

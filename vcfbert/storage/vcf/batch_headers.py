"""Headers of files that were imputed apart: their tool, checks, and one header for all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vcfbert import plurals
from vcfbert.errors import InputError
from vcfbert.storage.vcf import output_header, structural, variants
from vcfbert.storage.vcf.checks import Header

PARTLY_IMPUTED = "NIMP"
"""INFO key: samples in which a site is imputed, if it is typed in others."""

_NIMP = (
    f'##INFO=<ID={PARTLY_IMPUTED},Number=1,Type=Integer,Description="Samples in which the site is '
    'imputed, if it is typed in others">'
)
_NAMED = 5
_NUMBER_IN_BCF = re.compile(r",IDX=\d+(?=>$)")
_DECLARED = re.compile(r"##(INFO|FORMAT)=<ID=([^,>]+)")
_SOURCE = re.compile(r'##source="?(Minimac v4|beagle\.|vcfbert )')
_MADE_BY = re.compile(r"##(source|vcfbert_\w+)=(.*)")
_MAY_DIFFER = frozenset(("vcfbert_quality", "vcfbert_merge"))
_WHAT = {
    "source": "with another version",
    "vcfbert_checkpoint": "with other weights",
    "vcfbert_panel": "from another panel",
    "vcfbert_impute": "with other options",
}


@dataclass(frozen=True)
class Tool:
    """How a program that imputes describes a site.

    quality     INFO key of the estimated r2
    imputed     INFO flag of imputed sites
    typed       INFO flag of typed sites, None if there is none
    info        keys that can be computed for all samples, in the order of the declarations
    """

    name: str
    quality: str
    imputed: str
    typed: str | None
    info: tuple[str, ...]


VCFBERT = Tool(
    "vcfbert", "DR2", "IMP", "TYPED",
    ("AC", "AN", "AF", "DR2", "PR2", "ER2", "IMP", "TYPED", "TYPED_ONLY", PARTLY_IMPUTED),
)  # fmt: skip
MINIMAC = Tool(
    "Minimac4", "R2", "IMPUTED", "TYPED",
    ("AF", "MAF", "AVG_CS", "R2", "IMPUTED", "TYPED", PARTLY_IMPUTED),
)  # fmt: skip
BEAGLE = Tool("Beagle", "DR2", "IMP", None, ("AF", "DR2", "IMP", PARTLY_IMPUTED))
_TOOLS = {"Minimac v4": MINIMAC, "beagle.": BEAGLE, "vcfbert ": VCFBERT}


@dataclass(frozen=True)
class ImputedFile:
    """A file to join.

    lines   of its header, without #CHROM
    info    declared INFO keys
    format  declared FORMAT fields, in order
    """

    path: Path
    header: Header
    lines: tuple[str, ...]
    tool: Tool
    info: frozenset[str]
    format: tuple[str, ...]


def read(path: Path, header: Header) -> ImputedFile:
    """Find which tool wrote a file. Raises InputError if it is not a known one."""
    text = header.text.rstrip(b"\0\r\n").decode("utf-8", "replace")
    lines = tuple(_NUMBER_IN_BCF.sub("", line.rstrip("\r")) for line in text.split("\n")[:-1])
    matches = [match for line in lines if (match := _SOURCE.match(line))]
    tools = {_TOOLS[match[1]].name: _TOOLS[match[1]] for match in matches}
    tool = next(iter(tools.values())) if len(tools) == 1 else None
    is_phased_only = tool is VCFBERT and not any("##vcfbert_impute=" in line for line in lines)
    if tool is None or is_phased_only:
        raise InputError(
            f"{path} is not the output of vcfbert impute, Minimac4 or Beagle, by its header "
            "(##source). Join other files with: bcftools merge"
        )
    info, formats = (tuple(dict(_declarations(lines, kind))) for kind in ("INFO", "FORMAT"))
    return ImputedFile(path, header, lines, tool, frozenset(info), formats)


def check(batches: Sequence[ImputedFile], *, may_differ: bool) -> list[str]:
    """Check that files can be joined; returns warnings.

    may_differ  also join files from another panel, version or options

    Raises InputError if a sample is in two files, or the files were not imputed alike.
    """
    _check_names(batches)
    first = batches[0]
    warnings = []
    for other in batches[1:]:
        if other.tool is not first.tool:
            raise InputError(
                f"{other.path} was written by {other.tool.name} and {first.path} by "
                f"{first.tool.name}. Join files of one program."
            )
        key = _first_difference(first, other)
        if key is None:
            continue
        found = (
            f"{other.path} was imputed {_WHAT.get(key, 'otherwise')} than {first.path} (header "
            f"line ##{key})"
        )
        if not may_differ:
            raise InputError(
                f"{found}. Impute all batches alike, or join them as they are with "
                "--allow-differences."
            )
        warnings.append(f"{found}.")
    return warnings


def joined(
    batches: Sequence[ImputedFile], *, keys: Collection[str], has_quality: bool
) -> tuple[str, list[str]]:
    """The header of all samples, and INFO keys of the files that it leaves out.

    keys         INFO keys to write, declared or not
    has_quality  True if the estimated r2 is written
    """
    first, kept = batches[0], set(keys) | structural.KEYS.keys()
    lines, dropped = [], []
    others = [dict(_declarations(batch.lines, "FORMAT")) for batch in batches]
    for line in first.lines:
        match = _DECLARED.match(line)
        if match and match[1] == "INFO" and match[2] not in kept:
            dropped.append(match[2])
        elif match and first.tool is VCFBERT and match[1] == "INFO" and match[2] in keys:
            lines.append(_NIMP if match[2] == PARTLY_IMPUTED else output_header.info_line(match[2]))
        elif match and match[1] == "FORMAT":
            lines.append(_widest([other.get(match[2], line) for other in others]))
        elif not (line.startswith("##vcfbert_quality=") and has_quality):
            lines.append(line)
    declared = {match[2] for line in lines if (match := _DECLARED.match(line))}
    if has_quality and first.tool.quality not in declared:
        _insert(lines, output_header.info_line(first.tool.quality), after="##INFO=<ID=AF,")
    if len(batches) > 1:
        if PARTLY_IMPUTED not in declared:
            _insert(lines, _NIMP, after="##INFO=")
        lines = [line for line in lines if not line.startswith("##vcfbert_merge=")]
        _insert(lines, f"##vcfbert_merge=files={len(batches)}", after="##vcfbert_", or_="##source=")
    if not first.header.contigs:  # as in files of Beagle
        found = variants.scan(first.path, first.header).contigs
        lines += [f"##contig=<ID={name.decode('utf-8', 'replace')}>" for name in found]
    names = [name for batch in batches for name in batch.header.samples]
    columns = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
    lines.append("\t".join((*columns, *names)))
    return "".join(f"{line}\n" for line in lines), dropped


def _check_names(batches: Sequence[ImputedFile]) -> None:
    """Raise InputError if a sample name is in two files."""
    counts = Counter(name for batch in batches for name in batch.header.samples)
    twice = [name for name, count in counts.items() if count > 1]
    if not twice:
        return
    paths = [batch.path for batch in batches if twice[0] in batch.header.samples][:2]
    more = f" and {len(twice) - _NAMED:,} more" if len(twice) > _NAMED else ""
    raise InputError(
        f"{plurals.of(len(twice), 'sample name is', 'sample names are')} in two files: "
        f"{', '.join(twice[:_NAMED])}{more}; {twice[0]} is in {paths[0]} and {paths[1]}. Leave "
        "such samples out of one file (bcftools view -s ^NAME,...) or rename them (bcftools "
        "reheader -s)."
    )


def _first_difference(first: ImputedFile, other: ImputedFile) -> str | None:
    """The header line about how the files were made that differs, by its key."""
    one, two = _made_by(first), _made_by(other)
    keys = sorted(one.keys() | two.keys(), key=lambda key: [*_WHAT, key].index(key))
    return next((key for key in keys if one.get(key) != two.get(key)), None)


def _made_by(batch: ImputedFile) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in batch.lines:
        match = _MADE_BY.match(line)
        if match and match[1] not in _MAY_DIFFER:
            found.setdefault(match[1], []).append(match[2])
    return found


def _declarations(lines: Iterable[str], kind: str) -> Iterator[tuple[str, str]]:
    """Names and lines of the INFO keys or FORMAT fields of a header."""
    for line in lines:
        match = _DECLARED.match(line)
        if match and match[1] == kind:
            yield match[2], line


def _widest(lines: Sequence[str]) -> str:
    """A declaration that holds for all files: that of one with haploid samples, if there is one."""
    return next((line for line in lines if ",Number=.," in line), None) or next(
        (line for line in lines if "if haploid" in line), lines[0]
    )


def _insert(lines: list[str], line: str, *, after: str, or_: str = "##fileformat=") -> None:
    """Put a line behind the last one that begins like this."""
    for start in (after, or_):
        places = [place for place, known in enumerate(lines) if known.startswith(start)]
        if places:
            lines.insert(places[-1] + 1, line)
            return
    lines.append(line)

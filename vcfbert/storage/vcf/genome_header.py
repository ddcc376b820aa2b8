"""Lines about the genome in the header of a VCF: ##contig and ##reference."""

from __future__ import annotations

import re

from vcfbert.domain.genome import Genome

_CONTIG = re.compile(r"##contig=<(.*)>", re.IGNORECASE)
_FIELD = re.compile(r'(?:^|,)\s*(\w+)=("(?:[^"\\]|\\.)*"|[^,]*)')
_REFERENCE = "##reference="
_MOST_DIGITS = 10  # of a length; BCF has no longer contigs


def read(text: bytes) -> Genome:
    r"""What a header says; lines that cannot be read say nothing.

    >>> read(b"##contig=<ID=20,length=63025520,assembly=b37>\n")
    Genome(reference=None, lengths={'20': 63025520}, assemblies={'20': 'b37'})
    """
    reference: str | None = None
    lengths: dict[str, int] = {}
    assemblies: dict[str, str] = {}
    for line in text.rstrip(b"\0").decode("utf-8", errors="replace").splitlines():
        if line.startswith(_REFERENCE):
            reference = line.removeprefix(_REFERENCE).strip() or None
        found = _CONTIG.fullmatch(line.strip())
        if found is None:
            continue
        fields = {key.lower(): _plain(value) for key, value in _FIELD.findall(found[1])}
        name, length = fields.get("id"), fields.get("length", "")
        if not name:
            continue
        if length.isdecimal() and len(length) <= _MOST_DIGITS and int(length) > 0:
            lengths[name] = int(length)
        if fields.get("assembly"):
            assemblies[name] = fields["assembly"]
    return Genome(reference, lengths, assemblies)


def _plain(value: str) -> str:
    """A value without its quotes."""
    if not value.startswith('"'):
        return value.strip()
    return re.sub(r"\\(.)", r"\1", value[1:-1])

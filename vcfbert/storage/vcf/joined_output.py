"""One file from the imputed files of single contigs, which are VCF.gz of the same samples.

The compressed blocks of a VCF.gz are copied as they are, except the first of each file, which holds
its header.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vcfbert.errors import StoreError
from vcfbert.storage.vcf import bgzf, output_file
from vcfbert.storage.vcf.bgzf import END_OF_FILE, HEADER_BYTES
from vcfbert.storage.vcf.output_file import Sink

_PIECE = 1 << 20
_ID = re.compile(r"(##\w+=<ID=[^,>]+)")


def join(
    files: Sequence[Path],
    out: Path,
    *,
    facts: Mapping[str, str],
    threads: int,
    overwrite: bool = False,
    before_renaming: Callable[[], None] = lambda: None,
) -> None:
    """Write the records of all files, in this order, to `out` and index it.

    files  VCF.gz as `prediction_writer` writes them
    out    ends in .vcf.gz, .vcf.bgz or .bcf
    facts  of the whole file: values by the key of a header line `##key=value`

    Raises StoreError if a file is damaged, or `out` exists or cannot be written.
    """
    header = merged_header([_header(path)[0] for path in files], facts).encode()
    csi = output_file.is_bcf(out) or any(Path(f"{path}.csi").exists() for path in files)

    def write_index(partial: Path, _: Sink | None = None) -> None:
        output_file.index_with_htslib(partial, csi=csi)

    if output_file.is_bcf(out):
        with output_file.create(
            out, write_index, threads=threads, overwrite=overwrite, before_renaming=before_renaming
        ) as (sink, _):
            sink.write(header)
            for path in files:
                for lines in _lines(path):
                    sink.write(lines)
        return
    with output_file.create_raw(
        out, write_index, overwrite=overwrite, before_renaming=before_renaming
    ) as stream:
        stream.write(bgzf.compress(header))
        for path in files:
            for piece in _pieces(path):
                stream.write(piece)
        stream.write(END_OF_FILE)


def merged_header(headers: Sequence[str], facts: Mapping[str, str]) -> str:
    r"""One header with the lines of all, each once, next to others of its kind.

    A FORMAT field is declared for haploid samples if one of the headers does so.

    >>> one = "##a=1\n##contig=<ID=1>\n#CHROM\tPOS\n"
    >>> merged_header([one, one.replace("ID=1", "ID=2")], {"a": "3"})
    '##a=3\n##contig=<ID=1>\n##contig=<ID=2>\n#CHROM\tPOS\n'
    """
    last = headers[0].splitlines()[-1]
    kinds: dict[str, dict[str, str]] = {}
    for header in headers:
        *lines, columns = header.splitlines()
        if columns != last:
            raise StoreError("The files of single contigs have other samples. Impute them again.")
        for line in lines:
            key = line[2:].partition("=")[0]
            text = f"##{key}={facts[key]}" if key in facts else line
            match = _ID.match(text)
            known = kinds.setdefault(key, {})
            name = match[1] if match else text
            known[name] = max(known.get(name, text), text, key=_rank)
    return "".join(f"{line}\n" for lines in kinds.values() for line in lines.values()) + f"{last}\n"


def _rank(line: str) -> tuple[bool, int]:
    """Ranks the declaration for haploid samples above the other."""
    return "Number=.," in line, len(line)


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as stream:
            yield stream
    except (OSError, ValueError, zlib.error) as error:
        raise StoreError(f"{path} is damaged ({error}). Delete it and impute again.") from error


def _header(path: Path) -> tuple[str, int, bytes]:
    """The header, the place of the block after it, and the records of its last block."""
    text = b""
    with _reading(path) as stream:
        while True:
            text += _inflated(_block(stream))
            found = re.search(rb"^#CHROM[^\n]*\n", text, re.MULTILINE)  # the last line
            if found is not None:
                return text[: found.end()].decode(), stream.tell(), text[found.end() :]


def _pieces(path: Path) -> Iterator[bytes]:
    """The records of a file as compressed blocks, some at a time."""
    _, place, rest = _header(path)
    with _reading(path) as stream:
        stream.seek(-len(END_OF_FILE), 2)
        end = stream.tell()
        if stream.read() != END_OF_FILE:
            raise ValueError("its end is missing")
        stream.seek(place)
        if rest:
            yield bgzf.compress(rest)
        while stream.tell() < end:
            yield stream.read(min(_PIECE, end - stream.tell()))


def _lines(path: Path) -> Iterator[bytes]:
    """The records of a file as text, some lines at a time."""
    _, place, rest = _header(path)
    with _reading(path) as stream:
        stream.seek(place)
        while block := _block(stream, may_end=True):
            text = rest + _inflated(block)
            whole = text.rfind(b"\n") + 1
            yield text[:whole]
            rest = text[whole:]
    if rest:
        yield rest


def _block(stream: BinaryIO, *, may_end: bool = False) -> bytes:
    """The next block with its header; empty at the end of the file if that is allowed."""
    head = stream.read(HEADER_BYTES)
    if not head and may_end:
        return b""
    if len(head) < HEADER_BYTES or head[:4] != b"\x1f\x8b\x08\x04":
        raise ValueError("it is not BGZF, or has no header of a VCF")
    size = int.from_bytes(head[-2:], "little") + 1
    return head + stream.read(size - HEADER_BYTES)


def _inflated(block: bytes) -> bytes:
    return zlib.decompress(block, wbits=31)

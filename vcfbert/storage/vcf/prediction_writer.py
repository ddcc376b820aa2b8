"""Writer of imputed genotypes as an indexed VCF.gz or BCF, in site order, some sites at a time.

n consecutive sites, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import dosage
from vcfbert.domain.dosage import Imputed
from vcfbert.domain.sites import Sites
from vcfbert.domain.typed_only import TypedOnly
from vcfbert.errors import StoreError
from vcfbert.storage.vcf import bgzf, output_file, structural, tabix
from vcfbert.storage.vcf.bgzf import END_OF_FILE, BgzfWriter, Workers
from vcfbert.storage.vcf.output_file import Sink
from vcfbert.storage.vcf.output_header import (
    DECIMALS,
    EMPIRICAL,
    FIELDS,
    CellLayout,
    HeaderFacts,
    header_text,
)
from vcfbert.storage.vcf.typed_only_lines import TypedOnlyLines

CELLS_PER_PIECE = 1 << 15  # rendered by one thread at a time: about half a megabyte of text

_NEWLINE = ord("\n")
_TOLERANCE = 1e-3  # rounding error allowed in a probability, which the writer clips


@contextmanager
def create_predictions(
    path: Path,
    sites: Sites,
    names: Sequence[str],
    *,
    header: HeaderFacts | None = None,
    kept: Sequence[TypedOnly] = (),
    fields: Sequence[str] = FIELDS,
    decimals: int = DECIMALS,
    layout: CellLayout | None = None,
    threads: int = 2,
    overwrite: bool = False,
    before_renaming: Callable[[], None] = lambda: None,
) -> Iterator[PredictionWriter]:
    """Yield a writer whose file and index appear at `path` only if the block completes.

    path      ends in .vcf.gz or .vcf.bgz (indexed as .tbi, or as .csi if a contig is too long) or
              .bcf (.csi)
    names     of the N samples
    kept      records of the target that are written among the sites, on contigs of the sites and
              in their order
    fields    one or more of FIELDS
    decimals  of all numbers; trailing zeros are left out
    layout    instead of `fields` and `decimals`; EMPIRICAL for probabilities of left-out sites
    threads   for rendering and compression; the file is the same for any number
    before_renaming  called when the file is complete, to put what belongs to it in place first

    Raises InputError for another suffix, ConfigError for other fields or decimals, and StoreError
    if the file exists or cannot be written.
    """
    layout = layout or CellLayout.of(fields, decimals)
    others = TypedOnlyLines(kept, sites, layout.fields)
    is_tabix = not output_file.is_bcf(path) and _fits_tabix(sites, others)

    def write_index(partial: Path, sink: Sink) -> None:
        if isinstance(sink, BgzfWriter) and is_tabix:
            index = writer.tabix_index(sink.block_starts)
            Path(f"{partial}.tbi").write_bytes(index)
        else:
            output_file.index_with_htslib(partial, csi=True)

    with output_file.create(
        path, write_index, threads=threads, overwrite=overwrite, before_renaming=before_renaming
    ) as (sink, workers):
        writer = PredictionWriter(
            sink, workers, sites, names, header or HeaderFacts(), layout, others
        )
        yield writer
        writer.finish()


class PredictionWriter:
    """An open output file, made by `create_predictions`."""

    def __init__(
        self,
        sink: Sink,
        workers: Workers,
        sites: Sites,
        names: Sequence[str],
        facts: HeaderFacts,
        layout: CellLayout,
        others: TypedOnlyLines,
    ) -> None:
        """Write nothing yet: the INFO keys are known at the first `write`."""
        from vcfbert.storage.vcf import rendering  # imports numba, which is slow

        self._render = rendering.render
        self._sink = sink
        self._workers = workers
        self._sites = sites
        self._names = names
        self._facts = facts
        self._layout = layout
        self._others = others
        self._quality_keys: tuple[str, ...] | None = None
        self._rows: list[NDArray[np.int64]] = []  # of each line: a site, or ~number of another line
        self._ends: list[NDArray[np.int64]] = []  # offsets past each line in the text
        self._header_length = self._length = 0

    def tabix_index(self, block_starts: Sequence[int]) -> bytes:
        """The index of a file whose blocks begin at these offsets."""
        rows = np.concatenate([np.empty(0, np.int64), *self._rows])
        ends = np.concatenate([[self._header_length], *self._ends]).astype(np.int64)
        offsets = tabix.virtual_offsets(ends, np.array(block_starts), bgzf.BLOCK_BYTES)
        contig, begin, end = np.empty((3, len(rows)), np.int64)
        of_panel, of_others = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
        sites, chosen = rows[of_panel], ~rows[of_others]
        contig[of_panel], contig[of_others] = self._sites.contig[sites], self._others.contig[chosen]
        begin[of_panel], begin[of_others] = (
            self._sites.position[sites] - 1,
            self._others.begin[chosen],
        )
        end[of_panel] = _ends(self._sites)[sites]
        end[of_others] = self._others.end[chosen]
        lines = tabix.IndexedLines(
            contig=contig, begin=begin, end=end, start=offsets[:-1], stop=offsets[1:]
        )
        return bgzf.compress(tabix.index(self._sites.contigs, lines)) + END_OF_FILE

    def write(
        self,
        first: int,
        imputed: Imputed,
        is_imputed: NDArray[np.bool_],
        *,
        dr2: NDArray[np.floating] | None = None,
        pr2: NDArray[np.floating] | None = None,
        er2: NDArray[np.floating] | None = None,
        is_haploid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write n sites of the panel from site `first` on; calls come in site order.

        imputed     arrays over (n, N)
        is_imputed  (n,) True if the site was imputed, False if it was typed
        dr2         (n,) estimated r2; NaN is left out; given in all calls or in none
        pr2         (n,) r2 estimated from the panel; likewise
        er2         (n,) r2 with the typed genotypes; likewise
        is_haploid  (N,) True if the second haplotype of a sample is absent and its ALT probability
                    0; None for no sample

        Raises StoreError if a number is not a probability.
        """
        quality = _given(dr2, pr2, er2)
        self._write(first, lambda rows: _part(imputed, rows), is_imputed, quality, is_haploid)

    def write_haplotypes(
        self,
        first: int,
        alt_probability: NDArray[np.float32],
        is_imputed: NDArray[np.bool_],
        *,
        frequency: NDArray[np.float64] | None = None,
        dr2: NDArray[np.floating] | None = None,
        pr2: NDArray[np.floating] | None = None,
        er2: NDArray[np.floating] | None = None,
        is_haploid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Like `write` with `dosage.from_haplotypes`, which runs in the threads here.

        alt_probability  (n, N, 2)
        frequency        (n,) for AF, the mean of alt_probability over the haplotypes that exist;
                         None computes it
        """
        quality = _given(dr2, pr2, er2)
        self._write(
            first,
            lambda rows: dosage.from_haplotypes(alt_probability[rows]),
            is_imputed,
            quality,
            is_haploid,
            frequency,
        )

    def finish(self) -> None:
        """Write the header if there were no records, and what comes after the last site."""
        self._begin(())
        rest = self._others.among(slice(len(self._sites), len(self._sites) + 1))
        numbers = range(rest.start, rest.stop)
        lines = [self._others.text(number) for number in numbers]
        self._pass_on(
            b"".join(lines), np.cumsum([0, *map(len, lines)])[1:], ~np.array(numbers, int)
        )

    def _write(
        self,
        first: int,
        part: Callable[[slice], Imputed],
        is_imputed: NDArray[np.bool_],
        quality: Mapping[str, NDArray[np.floating]],
        is_haploid: NDArray[np.bool_] | None,
        frequency: NDArray[np.float64] | None = None,
    ) -> None:
        """Render pieces in the threads and pass them on in order."""
        self._begin(tuple(quality))
        assert self._quality_keys == tuple(quality), (
            "dr2, pr2 and er2 must be given in all calls or in none"
        )

        def text(rows: slice) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64]]:
            imputed = part(rows)
            self._check(first + rows.start, imputed)
            info = _info(
                imputed,
                is_imputed[rows],
                {key: values[rows] for key, values in quality.items()},
                has_frequency=self._layout != EMPIRICAL,
                frequency=None if frequency is None else frequency[rows],
                num_absent=0 if is_haploid is None else int(is_haploid.sum()),
            )
            heads = self._heads(first + rows.start, info)
            lines = self._render(heads, imputed, self._layout, is_haploid)
            ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == _NEWLINE) + 1
            return self._with_others(lines, ends, first + rows.start)

        step = max(1, CELLS_PER_PIECE // max(1, len(self._names)))
        pieces = (slice(row, row + step) for row in range(0, len(is_imputed), step))
        for lines, ends, sites in self._workers.in_order(text, pieces):
            self._pass_on(lines, ends, sites)

    def _pass_on(self, lines: bytes, ends: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Write whole lines; `ends` are the offsets past each of them."""
        self._sink.write(lines)
        self._ends.append(self._length + ends)
        self._length += len(lines)
        self._rows.append(rows)

    def _with_others(
        self, lines: bytes, ends: NDArray[np.int64], first: int
    ) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64]]:
        """The lines from site `first` on and those that come before their sites, in order.

        ends     (n,) offset past each line
        returns  the lines, the offset past each of them, and what each is (see `_rows`)
        """
        rows = np.arange(first, first + len(ends))
        others = self._others.among(slice(first, first + len(ends)))
        if others.start == others.stop:
            return lines, ends, rows
        before = self._others.before[others] - first  # n lines come before each other line
        texts = [self._others.text(number) for number in range(others.start, others.stop)]
        starts = np.append(0, ends)
        pieces: list[bytes] = []
        done = 0
        for place, text in zip(starts[before].tolist(), texts, strict=True):
            pieces += [lines[done:place], text]
            done = place
        pieces.append(lines[done:])
        lengths = np.insert(np.diff(starts), before, [len(text) for text in texts])
        kinds = np.insert(rows, before, ~np.arange(others.start, others.stop))
        return b"".join(pieces), np.cumsum(lengths), kinds

    def _begin(self, quality_keys: tuple[str, ...]) -> None:
        if self._quality_keys is not None:
            return
        self._quality_keys = quality_keys
        counts = ["AC", "AN"] if self._layout == EMPIRICAL else ["AC", "AN", "AF"]
        typed_only = ["TYPED_ONLY"] if len(self._others) else []
        header = header_text(
            self._facts,
            self._sites.contigs,
            self._names,
            info=(*counts, *quality_keys, "IMP", "TYPED", *typed_only),
            fields=self._layout.fields,
            structural=structural.header_lines(self._sites.alt, self._sites.info),
        )
        self._header_length = self._length = len(header.encode())
        self._sink.write(header.encode())

    def _heads(self, first: int, info: Sequence[str]) -> list[bytes]:
        """The lines from site `first` on, up to the first cell."""
        sites, rows = self._sites, slice(first, first + len(info))
        format_ = ":".join(self._layout.fields)
        columns = zip(
            sites.contig[rows].tolist(),
            sites.position[rows].tolist(),
            sites.identifier[rows],
            sites.ref[rows],
            sites.alt[rows],
            sites.info[rows],
            info,
            strict=True,
        )
        return [
            f"{sites.contigs[contig]}\t{position}\t{name}\t{ref}\t{alt}\t.\tPASS\t"
            f"{about if kept == '.' else f'{kept};{about}'}\t{format_}\t".encode()
            for contig, position, name, ref, alt, kept, about in columns
        ]

    def _check(self, first: int, imputed: Imputed) -> None:
        assert imputed.calls.size == 0 or imputed.calls.max() <= 1, "the kernel relies on it"
        if (
            _is_within(imputed.alt_probability, 1)
            and _is_within(imputed.genotype_probability, 1)
            and _is_within(imputed.dosage, 2)
        ):
            return
        contig, position = (
            self._sites.contigs[self._sites.contig[first]],
            self._sites.position[first],
        )
        raise StoreError(
            f"The predictions from {contig}:{position} on are not probabilities between 0 and 1. "
            "The network may have diverged: train again with a smaller "
            "training.learning_rate."
        )


def _is_within(values: NDArray[np.float32], top: float) -> bool:
    """True if all values are 0 to `top`, up to rounding; NaN is not."""
    return values.size == 0 or bool(
        values.min() >= -_TOLERANCE and values.max() <= top + _TOLERANCE
    )


def _given(
    dr2: NDArray[np.floating] | None,
    pr2: NDArray[np.floating] | None,
    er2: NDArray[np.floating] | None,
) -> dict[str, NDArray[np.floating]]:
    qualities = {"DR2": dr2, "PR2": pr2, "ER2": er2}
    return {key: values for key, values in qualities.items() if values is not None}


def _part(imputed: Imputed, rows: slice) -> Imputed:
    return Imputed(
        alt_probability=imputed.alt_probability[rows],
        calls=imputed.calls[rows],
        dosage=imputed.dosage[rows],
        genotype_probability=imputed.genotype_probability[rows],
    )


def _info(
    imputed: Imputed,
    is_imputed: NDArray[np.bool_],
    quality: Mapping[str, NDArray[np.floating]],
    *,
    has_frequency: bool,
    num_absent: int,
    frequency: NDArray[np.float64] | None,
) -> list[str]:
    """The INFO column; `num_absent` haplotypes are not there; AF is that of `imputed` if None."""
    count = len(imputed.calls)
    copies = imputed.calls.reshape(count, -1).sum(axis=1, dtype=np.int64).tolist()
    total = 2 * imputed.calls.shape[1] - num_absent
    info = [f"AC={called};AN={total}" for called in copies]
    if has_frequency:
        scale = imputed.calls.shape[1] / total  # 1/2 if no haplotype is absent
        if frequency is None:
            frequency = imputed.dosage.mean(axis=1, dtype=np.float64) * scale
        shares = frequency.tolist()
        info = [f"{about};AF={value:.6g}" for about, value in zip(info, shares, strict=True)]
    for key, values in quality.items():
        for row in np.flatnonzero(~np.isnan(values)).tolist():
            info[row] += f";{key}={values[row]:.4g}"
    flags = zip(info, is_imputed.tolist(), strict=True)
    return [f"{about};{'IMP' if imputed_here else 'TYPED'}" for about, imputed_here in flags]


def _fits_tabix(sites: Sites, others: TypedOnlyLines) -> bool:
    """False if a contig is too long for a tabix index."""
    last = max(int(_ends(sites).max(initial=0)), int(others.end.max(initial=0)))
    return last < tabix.LAST_POSITION


def _ends(sites: Sites) -> NDArray[np.int64]:
    """(S,) the last position that each site covers."""
    length = np.fromiter(map(len, sites.ref), dtype=np.int64, count=len(sites))
    ends: NDArray[np.int64] = sites.position + length - 1
    for row, info in enumerate(sites.info):
        if info != ".":  # of a structural variant
            ends[row] = structural.end_of(info, int(sites.position[row]), sites.ref[row])
    return ends

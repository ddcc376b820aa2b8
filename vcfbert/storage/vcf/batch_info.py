"""INFO of all samples from the INFO and the cells of batches.

k files, n records, N samples of all files. AC and AN are sums. AF, DR2 and the like are means and
variances over all haplotypes: from the cells if these have all digits, that is, if their mean
is the AF in the file, and otherwise from INFO, if it has the key.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import joined_quality
from vcfbert.errors import InputError
from vcfbert.storage.vcf import column_kernels as kernels
from vcfbert.storage.vcf import structural
from vcfbert.storage.vcf.batch_headers import (
    BEAGLE,
    MINIMAC,
    PARTLY_IMPUTED,
    VCFBERT,
    ImputedFile,
    Tool,
)
from vcfbert.storage.vcf.joined_columns import FileLines, JoinedLines

logger = logging.getLogger(__name__)

_COMMA = ord(",")
_ROUNDING, _ROUNDING_OF_BEAGLE = 0.00052, 0.0052
"""Largest differences of a frequency from cells that are due to their few decimals."""


@dataclass(frozen=True)
class CellFields:
    """Where the cells have the genotype and the ALT probabilities; see `kernels.cell_sums`."""

    call: int
    first: int = -1
    second: int = -1
    how: int = kernels.NO_PROBABILITY

    @classmethod
    def of(cls, fields: Sequence[str]) -> CellFields:
        """Find them among the FORMAT fields.

        >>> CellFields.of(["GT", "DS", "AP1", "AP2"])
        CellFields(call=0, first=2, second=3, how=2)
        """
        place = {name: number for number, name in enumerate(fields)}
        call = place.get("GT", -1)
        for name in ("HDS", "LDS"):
            if name in place:
                return cls(call, place[name], -1, kernels.ONE_FIELD)
        if {"AP1", "AP2"} <= place.keys():
            return cls(call, place["AP1"], place["AP2"], kernels.TWO_FIELDS)
        if "DS" in place:
            return cls(call, place["DS"], place.get("GP", -1), kernels.FROM_GENOTYPES)
        return cls(call)

    @property
    def gives_r2(self) -> bool:
        """True if the estimated r2 follows from the cells."""
        return self.how in (kernels.ONE_FIELD, kernels.TWO_FIELDS) or self.second >= 0


@dataclass(frozen=True)
class _Numbers:
    """What is known of n records, for each of k files: arrays (k, n), NaN if it is not.

    square      mean square of the ALT probabilities
    panel_r2    PR2; call_score is AVG_CS of Minimac4
    is_imputed  True if the record is imputed in all samples of the file
    imputed     samples in which it is imputed
    sums        (k, n, 5) as `kernels.cell_sums` returns them
    """

    an: NDArray[np.float64]
    ac: NDArray[np.float64]
    frequency: NDArray[np.float64]
    square: NDArray[np.float64]
    panel_r2: NDArray[np.float64]
    call_score: NDArray[np.float64]
    is_imputed: NDArray[np.bool_]
    imputed: NDArray[np.float64]
    sums: NDArray[np.float64]


class JoinedInfo:
    """Makes the INFO column of all samples."""

    def __init__(self, batches: Sequence[ImputedFile], keys: frozenset[str]) -> None:
        """Nothing is read yet.

        keys  INFO keys to write
        """
        self._batches = batches
        self._tool: Tool = batches[0].tool
        self._keys = keys
        self._num_samples = np.array([len(batch.header.samples) for batch in batches])
        self._has_structural = bool(structural.KEYS.keys() & batches[0].info)
        self._is_stale = np.zeros(len(batches), np.bool_)
        self.partly_imputed = 0
        """Records that are imputed in some of the files only."""

    def heads(self, joined: JoinedLines) -> list[bytes]:
        """The beginnings of the lines: CHROM to FORMAT, each with a tab at the end."""
        info = self._info(joined)
        names = _identifiers(joined.files)
        first = joined.files[0]
        lines = []
        for row, (name, about) in enumerate(zip(names, info, strict=True)):
            start = int(first.ends[row - 1]) if row else 0
            columns = first.columns[row]
            left = first.text[start : columns[kernels.POS]].tobytes()
            middle = first.text[columns[kernels.ID] : columns[kernels.FILTER]].tobytes()
            right = first.text[columns[kernels.INFO] : columns[kernels.FORMAT]].tobytes()
            lines.append(b"".join((left, name, b"\t", middle, about.encode(), b"\t", right)))
        return lines

    def _info(self, joined: JoinedLines) -> list[str]:
        first = joined.files[0]
        is_other = _is_typed_only(first)
        has_many = kernels.has_byte(first.text, first.columns, kernels.ALT, _COMMA) & ~is_other
        if has_many.any():
            row = int(np.argmax(has_many))
            raise InputError(
                f"{first.path}, {first.site(row)}: the record has several ALT alleles. Split such "
                "records of each file first: bcftools norm -m -any"
            )
        numbers = self._numbers(joined, is_other)
        make = {VCFBERT.name: self._of_vcfbert, MINIMAC.name: self._of_minimac}
        info = make.get(self._tool.name, self._of_beagle)(numbers)
        if self._has_structural:
            for row, about in enumerate(info):
                kept = _structural(first.column(row, kernels.INFO))
                info[row] = f"{kept};{about}" if kept else about
        for row in np.flatnonzero(is_other).tolist():
            info[row] = _typed_only(joined.files, row)
        return info

    def _numbers(self, joined: JoinedLines, is_other: NDArray[np.bool_]) -> _Numbers:
        """Read INFO and the cells.

        is_other  (n,) True for records that the panel lacks
        """
        rows = [self._of_file(*pair) for pair in zip(self._batches, joined.files, strict=True)]
        stacked = [np.stack(values) for values in zip(*rows, strict=True)]
        an, ac, frequency, r2, panel_r2, score, flag, partly, cells = stacked
        with np.errstate(invalid="ignore", divide="ignore"):
            has_calls = cells[..., kernels.HAPLOTYPES] > 0
            is_stale = has_calls & (cells[..., kernels.HAPLOTYPES] != an) & ~np.isnan(an)
            an = np.where(has_calls, cells[..., kernels.HAPLOTYPES], an)
            ac = np.where(has_calls, cells[..., kernels.CALLS], ac)
            from_cells = cells[..., kernels.COPIES] / an
            error = _ROUNDING_OF_BEAGLE if self._tool is BEAGLE else _ROUNDING
            is_stale |= np.abs(from_cells - frequency) > error
            self._note_stale((is_stale & ~is_other).any(axis=1), from_cells)
            frequency = np.where(self._is_stale[:, None], np.nan, frequency)
            r2 = np.where(self._is_stale[:, None], np.nan, r2)
            is_exact = joined_quality.has_all_digits(from_cells, frequency)
            frequency = np.where(is_exact | np.isnan(frequency), from_cells, frequency)
            square = np.where(
                is_exact | np.isnan(r2),
                joined_quality.rounded_mean_square(
                    cells[..., kernels.SQUARES] / an, from_cells, frequency
                ),
                joined_quality.mean_square(r2, frequency),
            )
        is_imputed = flag == 1
        imputed = np.where(is_imputed, self._num_samples[:, None], np.nan_to_num(partly))
        return _Numbers(an, ac, frequency, square, panel_r2, score, is_imputed, imputed, cells)

    def _note_stale(self, is_stale: NDArray[np.bool_], from_cells: NDArray[np.float64]) -> None:
        """Stop using the INFO of files if it does not match their samples.

        Raises InputError if their cells do not give the frequency, either.
        """
        for number in np.flatnonzero(is_stale & ~self._is_stale).tolist():
            path = self._batches[number].path
            if "AF" in self._keys and np.isnan(from_cells[number]).all():
                raise InputError(
                    f"{path}: INFO does not match the samples, so samples were removed or INFO was "
                    "changed, and AF does not follow from the FORMAT fields. Keep HDS or DS in "
                    "--format, or merge the file as impute wrote it."
                )
            logger.warning(
                "%s: INFO does not match the samples, so samples were removed or INFO was changed. "
                "AF and %s are computed from its cells, which have fewer digits.",
                path, self._tool.quality,
            )  # fmt: skip
        self._is_stale |= is_stale

    def _of_file(self, batch: ImputedFile, file: FileLines) -> tuple[NDArray[np.float64], ...]:
        tool = self._tool

        def number(key: str) -> NDArray[np.float64]:
            if key not in batch.info:
                return np.full(len(file.ends), np.nan)
            return np.asarray(
                kernels.info_numbers(file.text, file.columns, np.frombuffer(key.encode(), np.uint8))
            )

        cells = _cell_sums(file)
        quality = number(tool.quality) if tool is not BEAGLE else number("")
        is_imputed = number(tool.imputed)
        if tool is MINIMAC:  # typed sites have both flags
            is_imputed = np.where(np.isnan(number("TYPED")), is_imputed, np.nan)
        return (
            number("AN"), number("AC"), number("AF"), quality, number("PR2"), number("AVG_CS"),
            is_imputed, number(PARTLY_IMPUTED), cells,
        )  # fmt: skip

    def _of_vcfbert(self, numbers: _Numbers) -> list[str]:
        an, keys = numbers.an.sum(axis=0), self._keys
        counts = zip(numbers.ac.sum(axis=0).tolist(), an.tolist(), strict=True)
        info = [f"AC={count:.0f};AN={total:.0f}" for count, total in counts]
        if not {"AC", "AN"} <= keys:
            info = [""] * len(info)
        if "AF" in keys:
            frequency = joined_quality.mean(numbers.frequency, numbers.an)
            _append(info, "AF", frequency, ".6g")
            if "DR2" in keys:
                square = joined_quality.mean(numbers.square, numbers.an)
                square[np.isnan(numbers.square).any(axis=0)] = np.nan
                _append(info, "DR2", joined_quality.estimated_r2(square, frequency), ".4g")
        if "PR2" in keys:
            panel_r2 = joined_quality.mean(numbers.panel_r2, numbers.imputed)
            _append(info, "PR2", panel_r2, ".4g")
        if "ER2" in keys:
            sums = numbers.sums.sum(axis=0)
            _append(info, "ER2", joined_quality.squared_correlation(*sums.T), ".4g")
        is_imputed, partly = self._flags(numbers)
        for row, whole in enumerate(is_imputed.tolist()):
            info[row] += f";{'IMP' if whole else 'TYPED'}"
        return _with_counts(info, partly)

    def _of_minimac(self, numbers: _Numbers) -> list[str]:
        is_imputed, partly = self._flags(numbers)
        info = ["IMPUTED" if whole else "TYPED;IMPUTED" for whole in is_imputed.tolist()]
        frequency = joined_quality.mean(numbers.frequency, numbers.an)
        square = joined_quality.mean(numbers.square, numbers.an)
        values = {
            "AF": frequency,
            "MAF": np.minimum(frequency, 1 - frequency),
            "AVG_CS": joined_quality.mean(numbers.call_score, numbers.an),
            "R2": joined_quality.estimated_r2(square, frequency),
        }
        for key, value in values.items():
            if key in self._keys:
                _append(info, key, value.round(6) if key != "R2" else value, ".6g")
        return _with_counts(info, partly)

    def _of_beagle(self, numbers: _Numbers) -> list[str]:
        is_imputed, partly = self._flags(numbers)
        frequency = joined_quality.mean(numbers.frequency, numbers.an)
        info = [""] * len(frequency)
        if "DR2" in self._keys:
            square = joined_quality.mean(numbers.square, numbers.an)
            _append(info, "DR2", joined_quality.estimated_r2(square, frequency), ".2f")
        _append(info, "AF", frequency, ".4f")
        for row in np.flatnonzero(is_imputed).tolist():
            info[row] += ";IMP"
        return _with_counts(info, partly)

    def _flags(self, numbers: _Numbers) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Sites that are imputed in all files, and in how many samples if in some; else 0."""
        whole = np.asarray(numbers.is_imputed.all(axis=0), dtype=np.bool_)
        samples = numbers.imputed.sum(axis=0).astype(np.int64)
        samples[whole] = 0
        self.partly_imputed += int((samples > 0).sum())
        return whole, samples


def ends(file: FileLines, position: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) INFO/END of each record; 0 if it is absent or no whole number."""
    key = np.frombuffer(b"END", np.uint8)
    values = np.nan_to_num(kernels.info_numbers(file.text, file.columns, key), nan=0.0)
    return np.where((values >= position) & (values < 2**31), values, 0).astype(np.int64)


def _append(info: list[str], key: str, values: NDArray[np.float64], form: str) -> None:
    """Add a number to each text, unless it is NaN."""
    for row in np.flatnonzero(~np.isnan(values)).tolist():
        text = f"{key}={values[row]:{form}}"
        info[row] = f"{info[row]};{text}" if info[row] else text


def _with_counts(info: list[str], samples: NDArray[np.int64]) -> list[str]:
    for row in np.flatnonzero(samples).tolist():
        info[row] += f";{PARTLY_IMPUTED}={samples[row]}"
    return [about.removeprefix(";") for about in info]


def _cell_sums(file: FileLines) -> NDArray[np.float64]:
    """(n, 5) see `kernels.cell_sums`. Minimac4 changes the order of the fields inside a file."""
    sums = np.zeros((len(file.ends), 5))
    is_left = np.ones(len(file.ends), np.bool_)
    while is_left.any():
        row = int(np.argmax(is_left))
        fields = CellFields.of(file.column(row, kernels.FORMAT).split(":"))
        chosen = is_left & kernels.has_format_of(file.text, file.columns, row)
        sums += kernels.cell_sums(
            file.text, file.ends, file.columns,
            fields.call, fields.first, fields.second, fields.how, chosen,
        )  # fmt: skip
        is_left &= ~chosen
    return sums


def _is_typed_only(file: FileLines) -> NDArray[np.bool_]:
    """(n,) True for records that the panel lacks, whose INFO is about their genotypes."""
    flag = np.frombuffer(b"TYPED_ONLY", np.uint8)
    return ~np.isnan(kernels.info_numbers(file.text, file.columns, flag))


def _identifiers(files: Sequence[FileLines]) -> list[bytes]:
    """ID of each record: of the first file that has one."""
    first = files[0]
    starts, stops = first.columns[:, kernels.POS], first.columns[:, kernels.ID] - 1
    names = [
        first.text[start:stop].tobytes()
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    ]
    for other in files[1:]:
        pair = first.text, first.ends, first.columns, other.text, other.ends, other.columns
        row = kernels.first_difference(*pair, kernels.ID, 0)
        while row >= 0:
            if names[row] == b".":
                names[row] = other.column(row, kernels.ID).encode()
            row = kernels.first_difference(*pair, kernels.ID, row + 1)
    return names


def _structural(info: str) -> str:
    """What INFO says of a structural variant."""
    fields = info.split(";")
    return ";".join(one for one in fields if one.partition("=")[0] in structural.KEYS)


def _typed_only(files: Sequence[FileLines], row: int) -> str:
    """Counts of the called alleles at a record that the panel lacks."""
    total, counts = 0, np.zeros(0, np.int64)
    for file in files:
        fields = (one.partition("=") for one in file.column(row, kernels.INFO).split(";"))
        known = {key: value for key, _, value in fields}
        total += int(known.get("AN", "0"))
        if "AC" in known:
            here = np.array([int(text) for text in known["AC"].split(",")])
            counts = here if not len(counts) else counts + here
    parts = [f"AC={','.join(map(str, counts.tolist()))}"] if len(counts) else []
    parts.append(f"AN={total}")
    if len(counts) and total:
        parts.append("AF=" + ",".join(f"{count / total:.6g}" for count in counts.tolist()))
    return ";".join([*parts, "TYPED_ONLY"])

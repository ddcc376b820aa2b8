"""What `prepare` writes for the whole panel: mask version 0, the QC report, related samples.

One contig after another is in memory. W windows, M compared sites, N samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import MaskConfig
from vcfbert.domain import joined_panels, kinship, masks, relatedness
from vcfbert.domain.relatedness import Relatedness
from vcfbert.domain.sites import Samples, whole_frequency
from vcfbert.domain.windows import Windows
from vcfbert.pipelines.preparing import qc_report
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.storage.zarr import haplotypes, panel, schema
from vcfbert.storage.zarr import masks as mask_store


@dataclass(frozen=True)
class _Facts:
    """What is kept in memory of one contig.

    spaced     (n,) sites at which samples may be compared
    frequency  (n,) and `cm` (n,) of these
    """

    store: Path
    fingerprint: str
    num_sites: int
    types: Counter[int]
    samples: Samples
    windows: Windows
    qc: dict[str, Any]
    spaced: NDArray[np.int64]
    frequency: NDArray[np.float64]
    cm: NDArray[np.float64]


@dataclass(frozen=True)
class WholePanel:
    """The facts of a panel; `contigs` in the order of the genome."""

    contigs: list[str]
    facts: list[_Facts]

    @classmethod
    def of(cls, stores: Mapping[str, Path]) -> WholePanel:
        """Read the facts of each contig from its store."""
        return cls(list(stores), [_facts(place) for place in stores.values()])

    @property
    def fingerprint(self) -> str:
        """Of the whole panel."""
        return panel.joined_fingerprint([one.fingerprint for one in self.facts])

    @property
    def samples(self) -> Samples:
        """With their ploidy at all sites."""
        sizes = [one.num_sites for one in self.facts]
        return joined_panels.samples([one.samples for one in self.facts], sizes)

    @property
    def windows(self) -> Windows:
        """Of all contigs."""
        sizes = [one.num_sites for one in self.facts]
        return joined_panels.windows([one.windows for one in self.facts], sizes)

    def write_masks(self, path: Path, seed: int) -> None:
        """Write mask version 0."""
        rate, cut = MaskConfig().start_rate, self.windows
        first = mask_store.MaskVersion(
            version=0,
            policy="random",
            rate=rate,
            seed=seed,
            role="train",
            panel_fingerprint=self.fingerprint,
            is_masked=masks.draw_masks(cut, seed=seed, role="train", version=0, rate=rate),
        )
        mask_store.write_masks(path, first)

    def related(self) -> Relatedness:
        """Compare the samples at sites of all contigs."""
        lengths = [len(one.spaced) for one in self.facts]
        number = np.repeat(np.arange(len(lengths)), lengths)

        def read(chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
            firsts = np.cumsum([0, *lengths])
            parts = [
                _genotypes(one, chosen[number[chosen] == contig] - firsts[contig])
                for contig, one in enumerate(self.facts)
            ]
            return np.concatenate(parts)

        frequency = np.concatenate([one.frequency for one in self.facts])
        cm = np.concatenate([one.cm for one in self.facts])
        return relatedness.compare(self.samples, frequency, number, cm, read)

    def report(
        self, sources: Sequence[Path], options: PrepareOptions, related: Relatedness
    ) -> dict[str, Any]:
        """The QC report, but for the time it took.

        sources  the files of this command
        """
        whole = qc_report.joined([one.qc for one in self.facts])
        types = sum((one.types for one in self.facts), Counter[int]())
        num_bytes = sum(qc_report.store_bytes(one.store) for one in self.facts)
        input_bytes = whole.pop("input_bytes")
        whole["kept"] = {
            "sites": sum(one.num_sites for one in self.facts),
            "types": {name: types[code] for code, name in enumerate(schema.SITE_TYPES)},
            "contigs": self.contigs,
            "windows": sum(len(one.windows) for one in self.facts),
        }
        haploid = self.samples.haploid
        if haploid is not None:
            whole["samples"]["haploid"] = int(haploid.is_haploid.any(axis=0).sum())
        if len(sources) == 1 and not isinstance(whole["panel"], list):
            whole["panel"] = str(sources[0])
            whole["genetic_map"] = str(options.genetic_map or qc_report.NO_MAP)
        whole["bytes"] = {
            "panel": num_bytes,
            "input": input_bytes,
            "ratio": round(num_bytes / max(input_bytes, 1), 4),
        }
        whole["fingerprint"] = self.fingerprint
        whole["relatedness"] = related.record()
        return whole


def _facts(place: Path) -> _Facts:
    with panel.open_contig(place) as reader:
        sites = reader.sites
        frequency = whole_frequency(sites, reader.samples)
        spaced = kinship.spaced(frequency, sites.contig, sites.cm)
        return _Facts(
            place,
            reader.fingerprint,
            len(sites),
            Counter(sites.site_type.tolist()),
            reader.samples,
            reader.windows,
            reader.qc,
            spaced,
            frequency[spaced],
            sites.cm[spaced],
        )


def _genotypes(one: _Facts, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(M, N) ALT copies at some of the spaced sites of a contig, rising."""
    sites = one.spaced[chosen]
    with panel.open_contig(one.store) as reader:
        alleles = haplotypes.read_alleles(reader, sites)
        return relatedness.genotypes_of(reader.samples, sites, alleles)

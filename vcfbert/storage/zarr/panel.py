"""Writer and reader of the panel: a folder with a store for each contig.

A contig is replaced or added without the others. A folder that is itself a store, as earlier
versions wrote, is read, too.

S sites, W windows, L sites in a window, N samples, H = 2 N haplotypes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import contig_order, joined_panels, tokens
from vcfbert.domain import windows as window_tables
from vcfbert.domain.genome import UNKNOWN, Genome
from vcfbert.domain.ploidy import Ploidy, existing
from vcfbert.domain.sites import Samples, Sites
from vcfbert.domain.windows import Windows
from vcfbert.errors import StoreError
from vcfbert.files import replacing
from vcfbert.storage.zarr import schema, stored, stores
from vcfbert.storage.zarr.stored import StoredGroup

if TYPE_CHECKING:
    import zarr

HAPLOTYPES_PER_CHUNK = 16_384
WRITE_BYTES = 16_000_000
_CACHED_WINDOWS = 2

SUFFIX = ".zarr"
"""Of the store of a contig in the folder of the panel."""


class PanelReader:
    """An open panel store. Sites, samples and windows are in memory; alleles stay on disk."""

    def __init__(self, path: Path, root: StoredGroup) -> None:
        """Read the small tables; use `open_panel`."""
        self.path = path
        self.fingerprint = str(stored.attribute(root, "fingerprint"))
        self.settings: dict[str, Any] = dict(stored.attribute(root, "settings"))
        """How the panel was made."""
        self.sites = _read_sites(root)
        self.samples = _read_samples(root)
        self.windows = _read_windows(root)
        self.genome = Genome.from_json(stored.attribute(root, "genome"))
        qc: Any = dict(root.attrs).get("qc", {})
        self.qc: dict[str, Any] = dict(qc)
        """What `prepare` read, kept and dropped of the file that the panel was made from."""
        self._alleles = stored.member(root, "alleles")
        self._cache: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def parts(self) -> Sequence[PanelReader]:
        """The stores of the panel, in the order of its sites."""
        return [self]

    @property
    def alleles_shape(self) -> tuple[int, ...]:
        """The shape of the stored array."""
        return tuple(self._alleles.shape)

    @property
    def length(self) -> int:
        """L, sites in a window, padding included."""
        return self.windows.length

    def packed(self, window: int) -> NDArray[np.uint8]:
        """(H, ceil(L / 8)) packed alleles of every haplotype in one window; 0 in the padding."""
        with self._lock:
            if window in self._cache:
                self._cache.move_to_end(window)
                return self._cache[window]
        block = stored.read_window(self._alleles, window, "panel")
        block.flags.writeable = False
        with self._lock:
            self._cache[window] = block
            if len(self._cache) > _CACHED_WINDOWS:
                self._cache.popitem(last=False)
        return block

    def tokens(self, window: int, haplotypes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Unmasked tokens of some haplotypes; PAD after the last site of the window.

        haplotypes  (n,) indexes into the panel's H
        returns     (n, L)
        """
        num_sites = self.windows.num_sites(window)
        alleles = tokens.unpack(self.packed(window)[haplotypes], num_sites)
        return tokens.pad(alleles, self.length)


class GenomePanel(PanelReader):
    """The stores of several contigs, read as one panel."""

    def __init__(self, path: Path, parts: Sequence[PanelReader]) -> None:
        """Join the tables of open stores; use `open_panel`."""
        self.path = path
        self._parts = parts
        self.fingerprint = joined_fingerprint([part.fingerprint for part in parts])
        self.settings = parts[0].settings
        num_sites = [len(part.sites) for part in parts]
        self.sites = joined_panels.sites([part.sites for part in parts])
        self.samples = joined_panels.samples([part.samples for part in parts], num_sites)
        self.windows = joined_panels.windows([part.windows for part in parts], num_sites)
        self.genome = joined_panels.genome([part.genome for part in parts])
        self._first_window = np.cumsum([0, *(len(part.windows) for part in parts)])

    @property
    def parts(self) -> Sequence[PanelReader]:
        """The stores of the panel, in the order of its sites."""
        return self._parts

    @property
    def alleles_shape(self) -> tuple[int, ...]:
        """The shape that the stored arrays have together."""
        return (len(self.windows), *self._parts[0].alleles_shape[1:])

    def packed(self, window: int) -> NDArray[np.uint8]:
        """(H, ceil(L / 8)) packed alleles of every haplotype in one window; 0 in the padding."""
        part = int(np.searchsorted(self._first_window, window, side="right")) - 1
        return self._parts[part].packed(window - int(self._first_window[part]))


def joined_fingerprint(fingerprints: Sequence[str]) -> str:
    """The fingerprint of a panel of these stores; that of a single store is its own."""
    return fingerprints[0] if len(fingerprints) == 1 else stores.fingerprint(*fingerprints)


def fingerprint_of(path: Path, contig: str | None = None) -> str:
    """The fingerprint of a panel, or of one of its contigs, without reading its tables."""
    places = contig_stores(path)
    prints = []
    for place in [places[contig]] if contig is not None else places.values() or [path]:
        with stored.open_store(place, "panel") as root:
            prints.append(str(stored.attribute(root, "fingerprint")))
    return joined_fingerprint(prints)


def num_sites(path: Path, contig: str) -> int:
    """The number of sites on a contig of a panel, without reading its tables."""
    with stored.open_store(contig_stores(path)[contig], "panel") as root:
        return int(stored.member(root, "sites/position").shape[0])


def is_one_store(path: Path) -> bool:
    """True if the folder of a panel is one store with all contigs, as earlier versions wrote it."""
    return (path / "zarr.json").exists()


def contig_stores(path: Path) -> dict[str, Path]:
    """Where the store of each contig is now, in the order of the genome."""
    if is_one_store(path):
        return {}
    found = {place.name: place for place in path.glob(f"*{SUFFIX}")} if path.is_dir() else {}
    found |= {place.name: now for place, now in replacing.detours(path.parent, path).items()}
    by_contig = {
        unquote(name.removesuffix(SUFFIX)): place
        for name, place in found.items()
        if name.endswith(SUFFIX)
    }
    return {name: by_contig[name] for name in contig_order.in_order(by_contig)}


def store_name(contig: str) -> str:
    """The name of a contig's store in the folder of the panel.

    >>> store_name("chr20"), store_name("HLA-A*01:01/2")
    ('chr20.zarr', 'HLA-A%2A01%3A01%2F2.zarr')
    """
    return f"{quote(contig, safe='')}{SUFFIX}"


@contextmanager
def open_panel(
    path: Path, *, takes_haploid: bool = False, contigs: Collection[str] | None = None
) -> Iterator[PanelReader]:
    """Open a finished panel.

    takes_haploid  True if the caller knows that haplotypes may be absent
    contigs        read only these, if the panel has a store for each; None reads all

    Raises StoreError if it is missing or damaged, or has haploid samples and these are not taken.
    """
    with ExitStack() as stack:
        found = contig_stores(path)
        wanted = [place for name, place in found.items() if contigs is None or name in contigs]
        if found and not wanted:
            raise StoreError(f"{path} has none of the contigs {', '.join(contigs or ())}.")
        parts = [stack.enter_context(open_contig(place)) for place in wanted or [path]]
        reader = _joined(path, parts) if wanted else parts[0]
        if reader.samples.haploid is not None and not takes_haploid:
            raise StoreError(
                f"{path} has haploid samples, which impute, phase, verify, and train and eval of "
                "mosaic take, and this command does not. Prepare a panel of diploid samples for "
                "it, such as females: bcftools view -S females.txt"
            )
        yield reader


def _joined(path: Path, parts: Sequence[PanelReader]) -> PanelReader:
    """Several stores as one panel. Raises StoreError if their samples or windows differ."""
    first = parts[0]
    for part in parts[1:]:
        names = str(part.path), str(first.path)
        fault = joined_panels.difference(part.samples, first.samples, *names)
        if fault is None and part.length != first.length:
            fault = f"windows have {part.length} sites in {names[0]} and {first.length} in "
            fault += names[1]
        if fault is not None:
            raise StoreError(
                f"The contigs of {path} do not fit together: {fault}. Prepare one of them again "
                "with: vcfbert prepare PANEL --force"
            )
    return GenomePanel(path, parts)


@contextmanager
def open_contig(path: Path) -> Iterator[PanelReader]:
    """Open one store of a panel, haploid samples or not. Raises StoreError as `open_panel` does."""
    with stored.open_store(path, "panel") as root:
        try:
            reader = PanelReader(path, root)
            _check_sizes(reader)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise StoreError(
                f"{path} is damaged ({error!r}). Rebuild it with: vcfbert {schema.AGAIN['panel']}"
            ) from error
        yield reader


def _check_sizes(reader: PanelReader) -> None:
    """Raise ValueError if tables differ in length or refer to rows that do not exist."""
    sites, samples, windows = reader.sites, reader.samples, reader.windows
    columns = (sites.contig, sites.record, sites.identifier, sites.ref, sites.alt, sites.info,
               sites.site_type, sites.cm, sites.alt_count, sites.population_alt_count)  # fmt: skip
    sample_index = samples.population, samples.superpopulation, samples.split
    bounds = windows.stop, windows.core_start, windows.core_stop
    lengths = [(len(column), len(sites)) for column in columns]
    lengths += [(len(column), len(samples)) for column in sample_index]
    lengths += [(len(column), len(windows)) for column in bounds]
    if any(found != needed for found, needed in lengths):
        raise ValueError("columns of one table differ in length")
    if not (0 <= sites.contig).all() or not (sites.contig < len(sites.contigs)).all():
        raise ValueError("a site is on a contig without a name")
    faults = window_tables.faults(windows, len(sites))
    if faults:
        raise ValueError(faults[0])
    if samples.ploidy.start[-1] >= len(sites):
        raise ValueError("a range of sites with one ploidy begins after the last site")
    shape = (len(windows), 2 * len(samples), -(-windows.length // 8))
    if reader.alleles_shape != shape:
        raise ValueError(f"alleles have the shape {reader.alleles_shape}, not {shape}")


def allele_fault(
    panel: PanelReader, window: int, packed: NDArray[np.uint8] | None = None
) -> str | None:
    """The fault in the alleles of a window: bits in the padding, or ALT counts not of its sites.

    packed  (H, ceil(L / 8)) its alleles, if they are read already
    """
    packed = panel.packed(window) if packed is None else packed
    num_sites, where = panel.windows.num_sites(window), panel.windows.sites(window)
    alleles = np.unpackbits(packed, axis=1, bitorder="little")
    if alleles[:, num_sites:].any():
        return f"window {window} has alleles after its last site, in the padding"
    is_absent = ~existing(panel.samples.ploidy.of_sites(np.arange(where.start, where.stop)))
    if (alleles[:, :num_sites].T & is_absent).any():
        return f"window {window} has ALT alleles on the second haplotypes of haploid samples"
    counts = panel.samples.groups().astype(np.float32) @ alleles[:, :num_sites].astype(np.float32)
    sites = panel.sites
    written = np.hstack([sites.alt_count[where], sites.population_alt_count[where]])
    differs = (counts.T != written).any(axis=1)
    if differs.any():
        site = where.start + int(np.argmax(differs))
        return f"the alleles of window {window} do not match the ALT counts of site {site}"
    return None


def write_panel(
    path: Path,
    sites: Sites,
    samples: Samples,
    windows: Windows,
    alleles_of: Callable[[int], NDArray[np.uint8]],
    *,
    settings: dict[str, Any],
    genome: Genome = UNKNOWN,
    qc: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> str:
    """Write a panel store; returns its fingerprint, a hash of all but `settings` and `qc`.

    alleles_of  (H, ceil(L / 8)) packed alleles of a window; called once per window, in order
    settings    how the panel was made; saved as the attribute `settings`
    genome      what the header of its file says about the contigs
    qc          what was read, kept and dropped of its file; saved as the attribute `qc`
    """
    num_haplotypes = 2 * len(samples)
    width = -(-windows.length // 8)
    with stores.create_store(path, "panel", overwrite=overwrite) as root:
        _write_tables(root, sites, samples, windows, genome)
        parts = table_prints(sites, samples, windows, genome)
        array = stores.create_array(
            root,
            "panel",
            "alleles",
            (len(windows), num_haplotypes, width),
            (1, min(num_haplotypes, HAPLOTYPES_PER_CHUNK), width),
        )
        # Several windows at once, because zarr compresses the chunks of one call in parallel.
        num_at_once = max(1, min(8, WRITE_BYTES // (num_haplotypes * width)))
        for first in range(0, len(windows), num_at_once):
            last = min(first + num_at_once, len(windows))
            block = np.stack([alleles_of(window) for window in range(first, last)])
            array[first:last] = block
            parts += [stores.fingerprint(part) for part in block]
        fingerprint = stores.fingerprint(*parts)
        about: dict[str, Any] = {"parents": {}, "settings": settings, "fingerprint": fingerprint}
        root.attrs.update(about if qc is None else about | {"qc": qc})
    return fingerprint


def _write_tables(
    root: zarr.Group, sites: Sites, samples: Samples, windows: Windows, genome: Genome
) -> None:
    """Write everything except the alleles."""
    root.attrs.update(_attributes(sites, samples, windows, genome))
    for name, values in _columns(sites, samples, windows).items():
        stores.write_column(root, "panel", name, values)
    for name, lines in _texts(sites, samples).items():
        stores.write_text(root, "panel", name, lines)


def table_prints(sites: Sites, samples: Samples, windows: Windows, genome: Genome) -> list[str]:
    """A fingerprint of each table; that of a panel also covers the alleles of each window."""
    columns, texts = _columns(sites, samples, windows), _texts(sites, samples)
    prints = [stores.fingerprint(name, values) for name, values in columns.items()]
    prints += [stores.fingerprint(name, "\n".join(lines)) for name, lines in texts.items()]
    return [stores.fingerprint(repr(_attributes(sites, samples, windows, genome))), *prints]


def _attributes(sites: Sites, samples: Samples, windows: Windows, genome: Genome) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "contigs": list(sites.contigs),
        "populations": list(samples.populations),
        "length": windows.length,
        "genome": genome.as_json(),
    }
    if samples.haploid is not None:
        attributes["ploidy"] = samples.haploid.as_json()
    if len(samples.relatives):  # absent if empty, as in panels of earlier versions
        attributes["relatives"] = samples.relatives.tolist()
    return attributes


def _columns(sites: Sites, samples: Samples, windows: Windows) -> dict[str, NDArray[Any]]:
    return {
        "sites/contig": sites.contig,
        "sites/position": sites.position,
        "sites/record": sites.record,
        "sites/type": sites.site_type,
        "sites/cm": sites.cm,
        "sites/alt_count": sites.alt_count,
        "sites/population_alt_count": sites.population_alt_count,
        "samples/split": samples.split,
        "windows/start": windows.start,
        "windows/stop": windows.stop,
        "windows/core_start": windows.core_start,
        "windows/core_stop": windows.core_stop,
    }


def _texts(sites: Sites, samples: Samples) -> dict[str, list[str]]:
    return {
        "sites/id": sites.identifier,
        "sites/ref": sites.ref,
        "sites/alt": sites.alt,
        "sites/info": sites.info,
        "samples/name": samples.names,
        "samples/population": samples.population,
        "samples/superpopulation": samples.superpopulation,
    }


def _read_sites(root: StoredGroup) -> Sites:
    return Sites(
        contigs=tuple(_names(root, "contigs")),
        contig=stored.read_column(root, "sites/contig"),
        position=stored.read_column(root, "sites/position"),
        record=stored.read_column(root, "sites/record"),
        identifier=stored.read_text(root, "sites/id"),
        ref=stored.read_text(root, "sites/ref"),
        alt=stored.read_text(root, "sites/alt"),
        info=stored.read_text(root, "sites/info"),
        site_type=stored.read_column(root, "sites/type"),
        cm=stored.read_column(root, "sites/cm"),
        alt_count=stored.read_column(root, "sites/alt_count"),
        population_alt_count=stored.read_column(root, "sites/population_alt_count"),
    )


def _read_samples(root: StoredGroup) -> Samples:
    names = stored.read_text(root, "samples/name")
    ploidy = dict(root.attrs).get("ploidy")
    return Samples(
        names=names,
        population=stored.read_text(root, "samples/population"),
        superpopulation=stored.read_text(root, "samples/superpopulation"),
        split=stored.read_column(root, "samples/split"),
        populations=tuple(_names(root, "populations")),
        relatives=_pairs(root),
        haploid=None if ploidy is None else Ploidy.from_json(ploidy, len(names)),
    )


def _read_windows(root: StoredGroup) -> Windows:
    return Windows(
        start=stored.read_column(root, "windows/start"),
        stop=stored.read_column(root, "windows/stop"),
        core_start=stored.read_column(root, "windows/core_start"),
        core_stop=stored.read_column(root, "windows/core_stop"),
        length=int(str(stored.attribute(root, "length"))),
    )


def _pairs(root: StoredGroup) -> NDArray[np.int64]:
    """Listed relatives; empty if the panel has no list."""
    pairs: Any = dict(root.attrs).get("relatives", [])
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _names(root: StoredGroup, attribute: str) -> list[str]:
    value = stored.attribute(root, attribute)
    if not isinstance(value, list):
        raise TypeError(f"{attribute} is not a list")
    return [str(item) for item in value]

"""The readers under test: how an input is made of seeds, and how it is read.

A reader's `make` writes one input into an empty folder and returns what reads it. Reading may end
well or with a VcfbertError; anything else is a defect, a wrong answer included.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from benchmarks.fuzzing import oracle
from benchmarks.fuzzing.mutations import mutate
from benchmarks.fuzzing.oracle import WrongError
from benchmarks.fuzzing.seeds import Seeds
from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.domain import genetic_map, tokens, windows
from vcfbert.domain.matching import TargetPolicy
from vcfbert.domain.records import GenotypePolicy, SiteSplitter
from vcfbert.domain.sites import Region, Sites
from vcfbert.files import digests, seals
from vcfbert.pipelines.evaluating import run_costs
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.systems import pruning
from vcfbert.progress import Silent
from vcfbert.retrieval import index as indexes
from vcfbert.retrieval import manifest
from vcfbert.retrieval.query import Query
from vcfbert.storage import map_files, site_lists, tables
from vcfbert.storage.vcf import checks, target
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.zarr.embeddings import open_embeddings
from vcfbert.storage.zarr.masks import read_masks
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training.mosaic import mosaic_runs, weight_files
from vcfbert.training.systems import checkpoints

Attempt = Callable[[], object]
Make = Callable[[random.Random, Seeds, Path], Attempt]


@dataclass(frozen=True)
class Reader:
    """share  of the inputs, beside those of the others; slow readers get fewer."""

    name: str
    make: Make
    share: float = 1.0


def everything(path: Path, region: str | None = None) -> oracle.Read:
    """All records of a file or a region, and all calls."""
    blocks = []
    with VcfFile(path) as file:
        found_region = None if region is None else file.find_region(region)
        policy = GenotypePolicy(missing="major", unphased="drop")
        splitter = SiteSplitter(str(path), file.samples, policy)
        for block in file.blocks(np.arange(len(file.samples)), region=found_region):
            blocks.append(block)
            oracle.check_alleles(splitter.split(block).alleles, 1)
    return oracle.flat(blocks)


def _bgzf(path: Path, text: bytes) -> None:
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(text)


def _panel_vcf(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """The text of a panel, plain or compressed, without an index."""
    others = [seeds.text("target.vcf"), seeds.text("panel.vcf")]
    text = mutate(rng, seeds.text("panel.vcf"), others)
    is_plain = rng.random() < 0.3
    path = work / ("panel.vcf" if is_plain else "panel.vcf.gz")
    path.write_bytes(text) if is_plain else _bgzf(path, text)

    def read() -> None:
        found = everything(path)
        oracle.compare(text, found, samples=len(checks.read_header(path).samples))

    return read


def _region_vcf(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """The text of a panel, compressed and indexed, read by region."""
    text = mutate(rng, seeds.text("panel.vcf"), [seeds.text("target.vcf")])
    path = work / "panel.vcf.gz"
    _bgzf(path, text)
    try:
        pysam.tabix_index(str(path), preset="vcf", force=True, csi=rng.random() < 0.5)
    except OSError:
        pass  # it is read without one, then
    region = rng.choice(("20", "21", "20:1000-3000"))
    return lambda: everything(path, region)


def _target_vcf(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """A target against the sites of the panel."""
    text = mutate(rng, seeds.text("target.vcf"), [seeds.text("panel.vcf")])
    path = work / "target.vcf.gz"
    _bgzf(path, text)
    sites = _sites(seeds)
    policy = TargetPolicy(
        unphased=rng.choice(("error", "missing", "as-written")),
        strand=rng.choice(("fix", "drop", "error")),
    )

    def read() -> None:
        with VcfFile(path) as file:
            found = target.read_target(file, sites, policy)
        oracle.check_alleles(found.alleles, 5)
        if len(found.site_index) != found.alleles.shape[0]:
            raise WrongError("sites and alleles differ in number")

    return read


def _bcf(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """Bytes of a BCF, inside its blocks or of them."""
    data = seeds.text("panel.bcf")
    path = work / "panel.bcf"
    is_inside = rng.random() < 0.8
    if is_inside:
        plain = oracle.inflate(data)
        _bgzf(path, mutate(rng, plain, [seeds.text("panel.vcf")], is_text=rng.random() < 0.3))
    else:
        path.write_bytes(mutate(rng, data, [seeds.text("panel.vcf.gz")], is_text=False))

    def read() -> None:
        found = everything(path)
        if not is_inside:
            oracle.same(everything(seeds.folder / "panel.bcf"), found)

    return read


def _bgzf_file(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """Bytes of a compressed file of one or several blocks, with its right index or none."""
    name = rng.choice(("panel.vcf.gz", "long.vcf.gz"))
    others = [seeds.text("long.vcf.gz"), seeds.text("panel.vcf.gz")]
    data = mutate(rng, seeds.text(name), others, is_text=False)
    path = work / name
    path.write_bytes(data)
    suffix = rng.choice(("", ".tbi", ".csi"))
    if suffix:
        shutil.copy(seeds.folder / f"{name}{suffix}", work)

    def read() -> None:
        found = everything(path)
        text = oracle.inflate(data)
        try:
            oracle.compare(text, found, samples=len(checks.read_header(path).samples))
        except WrongError:
            oracle.same(everything(seeds.folder / name), found)  # a header of gzip was changed

    return read


def _index(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """A tabix or CSI index beside the file it was made from, read whole or by region."""
    name = rng.choice(("panel.vcf.gz", "long.vcf.gz", "panel.bcf"))
    suffix = ".csi" if name.endswith("bcf") else rng.choice((".tbi", ".csi"))
    shutil.copy(seeds.folder / name, work)
    data = seeds.text(f"{name}{suffix}")
    others = [seeds.text("long.vcf.gz.tbi"), seeds.text("long.vcf.gz.csi")]
    path = work / f"{name}{suffix}"
    is_inside = rng.random() < 0.8
    if is_inside:
        plain = [oracle.inflate(other) for other in others]
        _bgzf(path, mutate(rng, oracle.inflate(data), plain, is_text=False))
    else:
        path.write_bytes(mutate(rng, data, others, is_text=False))
    region = rng.choice((None, "20", "21:3000-5000"))
    expected = everything(seeds.folder / name)
    if region is not None:
        asked = Region.parse(region, ["20", "21"], source=name)
        expected = [row for row in expected if row[0].contig == asked.contig
                    and asked.start <= row[0].position <= asked.end]  # fmt: skip

    def read() -> None:
        found = everything(work / name, region)
        if region is None or not is_inside:
            oracle.same(expected, found)  # else it was made to lead astray, checksum and all

    return read


def _header(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """The lines above the records, with much done to them."""
    text = seeds.text("panel.vcf")
    stop = text.index(b"\n20\t") + 1
    head = text[:stop]
    for _ in range(rng.randrange(1, 4)):
        head = mutate(rng, head, [text])
    path = work / "panel.vcf"
    path.write_bytes(head + text[stop:])

    def read() -> None:
        header = checks.read_header(path)
        if len(set(header.samples)) != len(header.samples):
            raise WrongError("two samples have one name")
        everything(path)

    return read


def _prepare(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """All of `prepare`: a panel and its tables, any of them mutated."""
    names = ("panel.vcf", "samples.tsv", "genetic.map", "segments.csv")
    for name in names:
        data = seeds.text(name)
        if rng.random() < 0.4:
            data = mutate(rng, data, [seeds.text(other) for other in names])
        (work / name).write_bytes(data)
    options = prepare.PrepareOptions(
        samples=rng.choice((None, work / "samples.tsv")),
        genetic_map=rng.choice((None, work / "genetic.map")),
        windows=rng.choice((None, work / "segments.csv")),
        missing=rng.choice(("fill", "drop", "major", "error")),
        unphased=rng.choice(("drop", "error")),
        window_size=40,
        flank=2,
    )
    workspace = Workspace(work / "out")

    def read() -> None:
        prepare.prepare(work / "panel.vcf", workspace, options, progress=Silent())
        read_panel(workspace.panel)

    return read


def _text(name: str, others: tuple[str, ...], read: Callable[[Path, Seeds], object]) -> Make:
    """A reader of one text file."""

    def make(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
        path = work / name
        path.write_bytes(mutate(rng, seeds.text(name), [seeds.text(other) for other in others]))
        return lambda: read(path, seeds)

    return make


def _read_sites(path: Path, seeds: Seeds) -> None:
    typed = site_lists.read_typed(path, _sites(seeds))
    if not typed.is_typed.any():
        raise WrongError("no site is typed")


def _read_samples(path: Path, seeds: Seeds) -> None:
    for name, row in tables.read_samples(path).items():
        if not name.strip() or "\n" in name or not -1 <= row.split <= 2:
            raise WrongError(f"a sample {name!r} in the split {row.split}")


def _read_map(path: Path, seeds: Seeds) -> None:
    maps = map_files.read(path)
    for contig in maps:
        position = np.array([1, 5000, 2**31 - 2])
        cm = genetic_map.centimorgans(maps, contig, position, source=str(path))
        if not np.isfinite(cm).all() or (np.diff(cm) < 0).any():
            raise WrongError(f"the map of {contig} gives {cm}")


def _read_segments(path: Path, seeds: Seeds) -> None:
    sites = _sites(seeds)
    segments = tables.read_segments(path)
    of_contig = [[s for s in segments if s.contig == name] for name in sites.contigs]
    position = sites.position.astype(np.int64)
    inside = np.zeros(len(sites), dtype=np.bool_)
    for number, chosen in enumerate(of_contig):
        here = sites.contig == number
        inside[here] = windows.is_inside(chosen, position[here])
    if inside.any():
        kept = sites.contig[inside], position[inside]
        cut = windows.from_segments(of_contig, *kept, 64, 4)
        if not (cut.start <= cut.core_start).all() or int(cut.stop.max()) > inside.sum():
            raise WrongError("a window leaves the sites")


def _config(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    name = rng.choice(("config.toml", "mosaic.toml"))
    path = work / name
    path.write_bytes(mutate(rng, seeds.text(name), [seeds.text("mosaic.toml")]))
    base = rng.choice((Config(), presets.get("v18-large"), presets.get("mosaic")))

    def read() -> None:
        found = config.merge(base, config.load(path), source=str(path))
        if config.from_dict(config.to_dict(found), source="again") != found:
            raise WrongError("the config does not survive being written")
        again = work / "again.toml"
        again.write_text(config.to_toml(found), encoding="utf-8")
        config.from_dict(config.load(again), source="again")

    return read


def _assignments(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    data = mutate(rng, seeds.text("set.txt"), [seeds.text("config.toml")])
    texts = data.decode("utf-8", errors="surrogateescape").split("\n")
    chosen = rng.sample(texts, min(len(texts), rng.randrange(1, 4)))
    return lambda: config.merge(Config(), config.assignments(chosen), source="--set")


def _region(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    data = mutate(rng, seeds.text("regions.txt"), [seeds.text("typed.tsv")])
    text = rng.choice(data.decode("utf-8", errors="surrogateescape").split("\n"))
    return lambda: Region.parse(text, ["20", "chr21"], source="a file")


def _run_copy(seeds: Seeds, name: str, work: Path) -> Workspace:
    workspace = Workspace(work)
    shutil.copytree(seeds.workspace.run(name), workspace.run(name))
    return workspace


def _checkpoint(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """The JSON of a checkpoint, or its weights with a SHA-256 that fits what was done to them."""
    workspace = _run_copy(seeds, "small", work)
    folder = workspace.run("small") / "checkpoints"
    record = folder / "last.json"
    if rng.random() < 0.5:
        data = mutate(rng, record.read_bytes(), [seeds.text("config.toml")])
        record.write_bytes(resealed(rng, data))
    else:
        weights = folder / "step-00000003.safetensors"
        others = [weight_files.shipped_path().read_bytes()]
        data = mutate_tensors(rng, weights.read_bytes(), others)
        weights.write_bytes(data)
        text = json.loads(record.read_text())
        text["files"]["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
        record.write_bytes(resealed(rng, json.dumps(text).encode(), always=True))

    def read() -> None:
        model, _ = checkpoints.load_model(workspace.run("small"), "last")
        for values in model.state_dict().values():
            if not bool(values.isfinite().all()):
                raise WrongError("a weight is not finite")

    return read


def resealed(rng: random.Random, data: bytes, *, always: bool = False) -> bytes:
    """JSON with a seal that fits what was done to it, mostly; a seal alone stops no malice."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if not isinstance(record, dict) or not (always or rng.random() < 0.9):
        return data
    record.pop(digests.KEY, None)
    return digests.sealed_json(record)


def mutate_tensors(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """A safetensors file: its JSON header with the length put right, or any bytes."""
    if rng.random() < 0.6:
        size = int.from_bytes(data[:8], "little")
        header = mutate(rng, data[8 : 8 + size], others)
        return len(header).to_bytes(8, "little") + header + data[8 + size :]
    return mutate(rng, data, others, is_text=False)


def _mosaic_weights(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    path = work / "network.safetensors"
    data = weight_files.shipped_path().read_bytes()
    path.write_bytes(mutate_tensors(rng, data, [data]))

    def read() -> None:
        weight_files.load(path, name="network")

    return read


def _run(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """JSON, TOML and CSV of a run's folder, as `compare` and `refresh --prune` read them."""
    name = rng.choice(("small", "mosaic"))
    workspace = _run_copy(seeds, name, work)
    file = workspace.run(name) / rng.choice(("run.json", "config.toml", "metrics.csv"))
    data = mutate(rng, file.read_bytes(), [seeds.text("config.toml")])
    file.write_bytes(resealed(rng, data) if file.suffix == ".json" else data)
    if name == "mosaic" and rng.random() < 0.9:
        reseal(workspace.run(name))

    def read() -> None:
        pruning._needed_by_runs(workspace)
        mosaic_runs.system_of(workspace.run(name))
        run_costs.of_run(workspace, name)

    return read


def _manifest(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """The manifest of an index."""
    source = rng.choice((seeds.workspace, seeds.dense)).version("indexes", 0)
    folder = work / "v0000"
    shutil.copytree(source, folder)
    path = folder / "manifest.json"
    data = mutate(rng, path.read_bytes(), [seeds.text("config.toml")])
    path.write_bytes(resealed(rng, data))
    reseal(folder)
    return lambda: read_index(folder)


def _faiss(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
    """A FAISS file with a SHA-256 that fits what was done to it."""
    source = rng.choice((seeds.workspace, seeds.dense)).version("indexes", 0)
    folder = work / "v0000"
    shutil.copytree(source, folder)
    path = folder / "w00000.faiss"
    other = (seeds.dense.version("indexes", 0) / "w00001.faiss").read_bytes()
    data = mutate(rng, path.read_bytes(), [other], is_text=False)
    path.write_bytes(data)
    content = json.loads((folder / "manifest.json").read_text())
    content["files"][0]["sha256"] = hashlib.sha256(data).hexdigest()
    content["files"][0]["bytes"] = len(data)
    path = folder / "manifest.json"
    path.write_bytes(resealed(rng, json.dumps(content).encode(), always=True))
    reseal(folder)
    return lambda: read_index(folder)


def read_index(folder: Path) -> None:
    """Open an index, map a window and search it as its kind is searched."""
    panel = manifest.read(folder).parents.get("panel", "")
    reader = indexes.open_index(folder, panel_fingerprint=panel)
    reader.rows_of(np.array([0, 3, -1]))
    for number in range(min(2, len(reader.manifest.files))):
        window = reader.window(number)
        length = reader.manifest.length
        is_masked = np.zeros(length, dtype=np.bool_)
        embedded = None
        if reader.kind == "dense":
            is_masked = reader.manifest.is_masked(number)
            embedded = np.zeros((2, length, 8), dtype=np.float32)
        shown = np.full((2, length), tokens.REF, dtype=np.uint8)
        shown[:, is_masked] = tokens.MASK
        query = Query(shown, np.ones(length, dtype=np.float32), masked_embeddings=embedded)
        rows, _ = window.search(query).candidates(1)
        if (rows < 0).any() or (rows >= len(reader.reference_haplotypes)).any():
            raise WrongError(f"neighbours {rows.tolist()} of {len(reader.reference_haplotypes)}")


def _store(of: Callable[[Seeds], Path], read: Callable[[Path], object]) -> Make:
    """One file of a Zarr store, metadata more often than chunks."""

    def make(rng: random.Random, seeds: Seeds, work: Path) -> Attempt:
        source = of(seeds)
        path = work / source.name
        shutil.copytree(source, path)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        metadata = [file for file in files if file.name == "zarr.json"]
        is_metadata = rng.random() < 0.7
        file = rng.choice(metadata if is_metadata else files)
        if rng.random() < 0.05:
            file.unlink()
        elif rng.random() < 0.05:
            file.write_bytes(rng.choice(files).read_bytes() if file.exists() else b"")
        else:
            others = [rng.choice(metadata).read_bytes()]
            file.write_bytes(mutate(rng, file.read_bytes(), others, is_text=is_metadata))
        if rng.random() < 0.9:
            reseal(path)
        return lambda: read(path)

    return make


def reseal(folder: Path) -> None:
    """A seal that fits what was done to a store, where it had one."""
    if (folder / seals.NAME).is_file():
        seals.write(folder)


def read_panel(path: Path) -> None:
    """Read all of a panel store."""
    with open_panel(path) as panel:
        haplotypes = np.arange(2 * len(panel.samples))
        for window in range(len(panel.windows)):
            found = panel.tokens(window, haplotypes)
            if found.shape != (len(haplotypes), panel.length):
                raise WrongError(f"tokens of the shape {found.shape}")
        count = len(panel.sites)
        of_sites = panel.sites.identifier, panel.sites.ref, panel.sites.alt, panel.sites.cm
        if any(len(column) != count for column in of_sites):
            raise WrongError("columns of sites differ in length")
        if int(panel.windows.stop.max(initial=0)) > count:
            raise WrongError("a window leaves the sites")


def _read_embeddings(path: Path) -> None:
    with open_embeddings(path) as reader:
        rows = np.arange(len(reader.reference_haplotypes))
        shown = np.zeros((len(rows), reader.length), dtype=np.uint8)
        for window in range(reader.num_windows):
            reader.codebook(window)
            found = reader.complete(window, rows, shown)
            if found.shape != (len(rows), reader.length, reader.width):
                raise WrongError(f"embeddings of the shape {found.shape}")


def _read_mask_store(path: Path) -> None:
    if read_masks(path).is_masked.ndim != 2:
        raise WrongError("masks without windows and sites")


_SITES: dict[Path, Sites] = {}


def _sites(seeds: Seeds) -> Sites:
    """Of the panel, read once."""
    if seeds.folder not in _SITES:
        with open_panel(seeds.workspace.panel) as panel:
            _SITES[seeds.folder] = panel.sites
    return _SITES[seeds.folder]


ALL = (
    Reader("panel VCF", _panel_vcf),
    Reader("VCF by region", _region_vcf),
    Reader("target VCF", _target_vcf),
    Reader("BCF", _bcf),
    Reader("BGZF", _bgzf_file),
    Reader("tabix and CSI", _index),
    Reader("VCF header", _header),
    Reader("prepare, whole", _prepare, 0.2),
    Reader("site list", _text("typed.tsv", ("samples.tsv",), _read_sites)),
    Reader("sample table", _text("samples.tsv", ("typed.tsv",), _read_samples)),
    Reader("genetic map", _text("genetic.map", ("typed.tsv",), _read_map)),
    Reader("segments", _text("segments.csv", ("typed.tsv",), _read_segments)),
    Reader("region", _region),
    Reader("config TOML", _config),
    Reader("--set", _assignments),
    Reader("checkpoint", _checkpoint, 0.5),
    Reader("mosaic weights", _mosaic_weights),
    Reader("run folder", _run, 0.5),
    Reader("index manifest", _manifest, 0.5),
    Reader("FAISS file", _faiss, 0.5),
    Reader("panel store", _store(lambda seeds: seeds.workspace.panel, read_panel), 0.3),
    Reader("masks store", _store(lambda seeds: seeds.workspace.version("masks", 0),
                                 _read_mask_store), 0.5),
    Reader("embeddings store", _store(
        lambda seeds: seeds.workspace.version("embeddings", 0), _read_embeddings), 0.3),
    Reader("dense store", _store(
        lambda seeds: seeds.dense.version("embeddings", 0), _read_embeddings), 0.3),
)  # fmt: skip

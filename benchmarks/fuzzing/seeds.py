"""Small valid files of every kind that vcfbert reads, made by vcfbert or as its users make them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from vcfbert import config
from vcfbert.config import Config, presets
from vcfbert.model import imputer
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.systems import build_index, encode
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace
from vcfbert.training import runs
from vcfbert.training.mosaic import mosaic_runs, weight_files
from vcfbert.training.systems import checkpoints

NUM_SAMPLES = 12
NUM_SITES = 40
STEP = 150  # bases between sites

_HEADER = """\
##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="All filters passed">
##contig=<ID=20,length=64444167>
##contig=<ID=21,length=46709983>
##INFO=<ID=AF,Number=A,Type=Float,Description="ALT frequency">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DS,Number=1,Type=Float,Description="Dosage">
"""
_SETTINGS = {
    "model": {"width": 8, "num_layers": 1, "num_heads": 2},
    "retrieval": {"num_neighbours": 4},
    "training": {"batch_size": 2},
}


@dataclass(frozen=True)
class Seeds:
    """Where they are.

    folder  everything below; read-only
    """

    folder: Path

    @property
    def workspace(self) -> Workspace:
        """Panel, masks, embeddings (codebook), index (exact), runs `small` and `mosaic`."""
        return Workspace(self.folder / "work")

    @property
    def dense(self) -> Workspace:
        """The same panel, with dense embeddings and a dense index."""
        return Workspace(self.folder / "dense")

    def text(self, name: str) -> bytes:
        """A file's bytes."""
        return (self.folder / name).read_bytes()


def small_settings() -> Config:
    """Of the network in the checkpoint."""
    return config.merge(presets.tiny(), _SETTINGS, source="seeds")


def panel_text(*, names: int = NUM_SAMPLES, first: int = 0, sites: int = NUM_SITES) -> str:
    """A phased panel: contig 20, then contig 21, with an indel and a record of two ALT."""
    rng = np.random.default_rng(5)
    samples = [f"p{number:02d}" for number in range(first, first + names)]
    lines = [_HEADER + "\t".join(
        ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]
    )]  # fmt: skip
    for site in range(sites):
        contig = "20" if site < 3 * sites // 4 else "21"
        ref, alt = [("A", "G"), ("C", "T"), ("AT", "A"), ("G", "C,T")][(site % 11 == 7) * 2 or 0]
        if site % 13 == 5:
            ref, alt = "G", "C,T"
        alleles = rng.integers(0, 2, size=(names, 2))
        calls = "\t".join(f"{a}|{b}" for a, b in alleles.tolist())
        place = f"{contig}\t{(site + 1) * STEP}\trs{site}\t{ref}\t{alt}"
        lines.append(f"{place}\t.\tPASS\tAF=0.5\tGT\t{calls}")
    return "\n".join(lines) + "\n"


def build(folder: Path) -> Seeds:
    """Write all of them into an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = Seeds(folder)
    _write_vcfs(folder)
    _write_tables(folder)
    _write_stores(seeds)
    _write_runs(seeds)
    return seeds


def _write_vcfs(folder: Path) -> None:
    panel, target = panel_text(), panel_text(names=3, first=50, sites=NUM_SITES)
    (folder / "panel.vcf").write_text(panel)
    (folder / "target.vcf").write_text(target.replace("\tGT\t", "\tGT:DS\t").replace("|1", "|1:1"))
    (folder / "long.vcf").write_text(_long_text())
    for name in ("panel", "target", "long"):
        compressed = folder / f"{name}.vcf.gz"
        with pysam.BGZFile(str(compressed), "w") as stream:
            stream.write((folder / f"{name}.vcf").read_bytes())
        pysam.tabix_index(str(compressed), preset="vcf", force=True, keep_original=True)
        pysam.tabix_index(str(compressed), preset="vcf", force=True, csi=True, keep_original=True)
    with pysam.VariantFile(str(folder / "panel.vcf")) as records:
        with pysam.VariantFile(str(folder / "panel.bcf"), "wb", header=records.header) as out:
            for record in records:
                out.write(record)
    pysam.tabix_index(str(folder / "panel.bcf"), preset="bcf", force=True)


def _long_text() -> str:
    """As the panel, of several BGZF blocks."""
    text = panel_text(names=4)
    head, *records = text.split("\n20\t150\t", 1)
    body = ("20\t150\t" + records[0]).splitlines()
    padding = "N" * 6000
    body = [line.replace("AF=0.5", f"AF=0.5;NOTE={number}{padding}") for number, line in
            enumerate(body)]  # fmt: skip
    note = '##INFO=<ID=NOTE,Number=1,Type=String,Description="Filler">'
    return "\n".join([head.replace("##FORMAT=<ID=GT", f"{note}\n##FORMAT=<ID=GT"), *body]) + "\n"


def _write_tables(folder: Path) -> None:
    samples = [f"p{number:02d}" for number in range(NUM_SAMPLES)]
    split = ["train"] * 8 + ["validation", "validation", "test", "."]
    split[-1] = "test"
    rows = [
        f"{n}\tP{i % 2}\tS{i % 2}\t{s}" for i, (n, s) in enumerate(zip(samples, split, strict=True))
    ]
    (folder / "samples.tsv").write_text(
        "\n".join(["sample\tpopulation\tsuperpopulation\tsplit", *rows]) + "\n"
    )
    (folder / "genetic.map").write_text(
        "".join(f"{contig} . {0.01 * n:.4f} {1 + 500 * n}\n" for contig in (20, 21)
                for n in range(14))
    )  # fmt: skip
    (folder / "segments.csv").write_text("contig,start,end\n20,1,2000\n20,2001,5000\n21,1,9000\n")
    sites = [f"20\t{(n + 1) * STEP}" + ("\tA\tG" if n % 3 else "") for n in range(0, 20, 2)]
    (folder / "typed.tsv").write_text("\n".join(["#contig\tposition\tREF\tALT", *sites]) + "\n")
    (folder / "config.toml").write_text(config.to_toml(presets.get("v18-large")))
    (folder / "mosaic.toml").write_text(config.to_toml(presets.get("mosaic")))
    (folder / "set.txt").write_text(
        "model.width=64\ntraining.precision=bf16\nseed=3\nloss.focal_gamma=2.0\n"
        "masks.policy=\"random\"\nmosaic.units=8\n"
    )  # fmt: skip
    (folder / "regions.txt").write_text("chr20:1,000-2,000\n20\n20:5-\n21:1-9000\n")


def _write_stores(seeds: Seeds) -> None:
    quiet, workspace, settings = Silent(), seeds.workspace, small_settings()
    options = prepare.PrepareOptions(
        samples=seeds.folder / "samples.tsv",
        genetic_map=seeds.folder / "genetic.map",
        window_size=16,
        flank=2,
    )
    prepare.prepare(seeds.folder / "panel.vcf.gz", workspace, options, progress=quiet)
    shutil.copytree(workspace.root, seeds.dense.root)
    codebook, exact = encode.EncodeOptions(), build_index.IndexOptions()
    encode.encode_refs(workspace, settings, codebook, progress=quiet)
    build_index.build_index(workspace, exact, progress=quiet)
    dense = encode.EncodeOptions(layout="dense")
    encode.encode_refs(seeds.dense, settings, dense, progress=quiet)
    build_index.build_index(seeds.dense, build_index.IndexOptions(kind="dense"), progress=quiet)


def _write_runs(seeds: Seeds) -> None:
    workspace, settings = seeds.workspace, small_settings()
    run, parents = workspace.run("small"), {"panel": "0" * 64, "index": "1" * 64}
    runs.create(run, settings, parents, None, {})
    weights = dict(imputer.build(settings.model, 1).state_dict())
    optimizer = {"0.step": weights["encoder.token.weight"].new_tensor(3.0)}
    for which in ("last", "best"):
        checkpoints.save(
            run, which, settings=settings, parents=parents, state={"epoch": 1, "step": 3},
            weights=weights, optimizer=optimizer,
        )  # fmt: skip
    row = {
        "epoch": 1,
        "seconds": 2.5,
        "batches": 4,
        "train_seconds": 1.5,
        "val_f1": 0.5,
        "val_retrieval_agreement": 0.9,
        "peak_memory_bytes": 1 << 20,
        "device": "cpu",
    }
    runs.write_metrics(run, [row, {**row, "epoch": 2}])
    network = weight_files.shipped()
    mosaic_runs.write(
        workspace.run("mosaic"), presets.get("mosaic"), network,
        {"parents": {"panel": "0" * 64}, "seconds": 3.0, "device": "cpu"},
        [(1, 0.5, 0.4)], overwrite=False,
    )  # fmt: skip

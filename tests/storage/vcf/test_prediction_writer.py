"""Prediction files: what goes in comes out, indexed, and never half of it."""

import dataclasses
import itertools
import resource
import shutil
import subprocess
import sys

import cyvcf2
import numpy as np
import numpy.testing as npt
import pysam
import pytest

from vcfbert.domain import dosage
from vcfbert.domain import sites as site_tables
from vcfbert.domain.genome import Genome
from vcfbert.domain.records import Record
from vcfbert.domain.sites import Sites
from vcfbert.domain.typed_only import TypedOnly
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.storage.vcf import prediction_writer
from vcfbert.storage.vcf.output_header import EMPIRICAL, FIELDS, HeaderFacts
from vcfbert.storage.zarr import panel

NAMES = ["ann", "bob", "cy"]
SUFFIXES = [".vcf.gz", ".vcf.bgz", ".bcf"]


@pytest.fixture(scope="module")
def fx_sites(fx_workspace):
    with panel.open_panel(fx_workspace.panel) as reader:
        return reader.sites


@pytest.fixture
def fx_imputed(fx_sites):
    rng = np.random.default_rng(4)
    return dosage.from_haplotypes(rng.random((len(fx_sites), len(NAMES), 2)).astype(np.float32))


def write(path, sites, imputed, **options):
    is_imputed = np.arange(len(sites)) % 3 != 0
    half = len(sites) // 2
    with prediction_writer.create_predictions(path, sites, NAMES, **options) as writer:
        for first, stop in ((0, half), (half, len(sites))):
            part = dosage.from_haplotypes(imputed.alt_probability[first:stop])
            writer.write(first, part, is_imputed[first:stop])
    return is_imputed


@pytest.mark.parametrize(
    ("name", "index"), [("p.vcf.gz", ".tbi"), ("p.vcf.bgz", ".tbi"), ("p.bcf", ".csi")]
)
def test_predictions_come_back_from_an_indexed_file(tmp_path, fx_sites, fx_imputed, name, index):
    path = tmp_path / name
    is_imputed = write(path, fx_sites, fx_imputed)
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / f"{name}{index}"]
    found = list(cyvcf2.VCF(str(path)))
    assert cyvcf2.VCF(str(path)).samples == NAMES
    assert [v.POS for v in found] == fx_sites.position.tolist()
    assert [v.INFO.get("IMP") is not None for v in found] == is_imputed.tolist()
    assert [v.INFO.get("TYPED") is not None for v in found] == (~is_imputed).tolist()
    genotypes = np.array([v.genotype.array() for v in found])
    npt.assert_array_equal(genotypes[..., :2], fx_imputed.calls)
    assert genotypes[..., 2].all()  # phased
    assert [v.INFO["AC"] for v in found] == fx_imputed.calls.sum(axis=(1, 2)).tolist()
    assert {v.INFO["AN"] for v in found} == {2 * len(NAMES)}
    frequencies = [v.INFO["AF"] for v in found]
    npt.assert_allclose(frequencies, fx_imputed.dosage.mean(axis=1) / 2, atol=1e-5)
    for field, values in (
        ("DS", fx_imputed.dosage[..., None]),
        ("HDS", fx_imputed.alt_probability),
        ("GP", fx_imputed.genotype_probability),
    ):
        npt.assert_allclose(
            np.array([v.format(field) for v in found]), values, atol=6e-6
        )  # six digits


@pytest.mark.parametrize("name", ["p.vcf.gz", "p.vcf.bgz", "p.bcf"])
def test_the_index_finds_a_region(tmp_path, fx_sites, fx_imputed, name):
    path = tmp_path / name
    write(path, fx_sites, fx_imputed)
    start, stop = fx_sites.position[[60, 63]]
    assert len(list(cyvcf2.VCF(str(path))(f"20:{start}-{stop}"))) == 4


def test_a_failed_block_leaves_nothing(tmp_path, fx_sites):
    with (
        pytest.raises(ZeroDivisionError),
        prediction_writer.create_predictions(tmp_path / "p.vcf.gz", fx_sites, NAMES),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_finished_file_is_not_replaced_unasked(tmp_path, fx_sites, fx_imputed):
    path = tmp_path / "p.vcf.gz"
    path.write_bytes(b"mine")
    with pytest.raises(StoreError, match="already exists"):
        write(path, fx_sites, fx_imputed)
    assert path.read_bytes() == b"mine"
    write(path, fx_sites, fx_imputed, overwrite=True)
    assert len(list(cyvcf2.VCF(str(path)))) == len(fx_sites)


def test_a_name_without_a_known_ending_is_refused(tmp_path, fx_sites, fx_imputed):
    with pytest.raises(InputError, match=r"must end in \.vcf\.gz, \.vcf\.bgz or \.bcf"):
        write(tmp_path / "p.txt", fx_sites, fx_imputed)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, fx_sites, fx_imputed):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Cannot write"):
        write(tmp_path / "file" / "p.vcf.gz", fx_sites, fx_imputed)


def test_records_are_valid_to_another_reader(tmp_path, fx_sites, fx_imputed):
    path = tmp_path / "p.vcf.gz"
    write(path, fx_sites, fx_imputed)
    with pysam.VariantFile(str(path)) as file:
        first = next(iter(file))
    assert first.samples["bob"].phased
    assert len(first.samples["bob"]["GP"]) == 3


def made_up_sites(ref, alt):
    """Sites on one contig, 100 apart."""
    count = np.zeros((len(ref), 3), dtype=np.int32)
    return Sites(
        contigs=("20",),
        contig=np.zeros(len(ref), dtype=np.int32),
        position=np.arange(1, len(ref) + 1, dtype=np.int32) * 100,
        record=np.arange(len(ref), dtype=np.int32),
        info=["."] * len(ref),
        identifier=[f"rs{n}" for n in range(len(ref))],
        ref=list(ref),
        alt=list(alt),
        site_type=site_tables.site_types(ref, alt),
        cm=np.arange(len(ref), dtype=np.float64),
        alt_count=count,
        population_alt_count=count,
    )


def random_imputed(sites, num_samples, seed=0):
    """Half of all haplotypes are certain."""
    rng = np.random.default_rng(seed)
    alt = rng.random((len(sites), num_samples, 2)).astype(np.float32)
    return dosage.from_haplotypes(np.where(rng.random(alt.shape) < 0.5, alt.round(), alt))


def write_all(path, sites, imputed, *, quality=None, **options):
    names = [f"sample{n}" for n in range(imputed.dosage.shape[1])]
    with prediction_writer.create_predictions(path, sites, names, **options) as writer:
        writer.write(0, imputed, np.ones(len(sites), dtype=bool), **(quality or {}))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "fields", [s for size in (1, 2, 3, 4) for s in itertools.combinations(reversed(FIELDS), size)]
)
def test_any_fields_can_be_chosen(tmp_path, suffix, fields):
    sites = made_up_sites("ACGT", "CGTA")
    imputed = random_imputed(sites, 3)
    path = tmp_path / f"p{suffix}"
    write_all(path, sites, imputed, fields=fields)
    found = list(cyvcf2.VCF(str(path)))
    expected = sorted(fields, key=lambda field: field != "GT")
    assert [v.FORMAT for v in found] == [expected] * 4
    if "GT" in fields:
        genotypes = np.array([v.genotype.array() for v in found])
        npt.assert_array_equal(genotypes[..., :2], imputed.calls)
    for field, values in (
        ("DS", imputed.dosage[..., None]),
        ("HDS", imputed.alt_probability),
        ("GP", imputed.genotype_probability),
    ):
        if field in fields:
            npt.assert_allclose(np.array([v.format(field) for v in found]), values, atol=6e-7)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_decimals_are_those_asked_for(tmp_path, suffix):
    sites = made_up_sites("ACGT", "CGTA")
    imputed = random_imputed(sites, 5)
    write_all(tmp_path / f"p{suffix}", sites, imputed, decimals=3)
    for row, variant in enumerate(cyvcf2.VCF(str(tmp_path / f"p{suffix}"))):
        rounded = imputed.genotype_probability[row].astype(np.float64).round(3)
        npt.assert_array_equal(variant.format("GP"), rounded.astype(np.float32))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_quality_is_written_where_it_is_known(tmp_path, suffix):
    sites = made_up_sites("ACG", "CGT")
    quality = {
        "dr2": np.array([0.98765, np.nan, 0.0]),
        "pr2": np.array([0.25, 1.0, np.nan]),
        "er2": np.array([np.nan, 0.5, np.nan]),
    }
    path = tmp_path / f"p{suffix}"
    write_all(path, sites, random_imputed(sites, 2), quality=quality)
    found = list(cyvcf2.VCF(str(path)))
    dr2 = [v.INFO.get("DR2") for v in found]
    assert dr2 == [pytest.approx(0.9877, abs=1e-6), None, 0.0]
    assert [v.INFO.get("PR2") for v in found] == [0.25, 1.0, None]
    assert [v.INFO.get("ER2") for v in found] == [None, 0.5, None]


def test_quality_is_not_declared_where_it_is_not_given(tmp_path):
    sites = made_up_sites("ACG", "CGT")
    write_all(tmp_path / "p.vcf.gz", sites, random_imputed(sites, 2))
    header = cyvcf2.VCF(str(tmp_path / "p.vcf.gz")).raw_header
    assert "DR2" not in header
    assert "ER2" not in header


def test_haplotypes_alone_make_the_same_file(tmp_path, fx_sites, fx_imputed):
    is_imputed = write(tmp_path / "whole.vcf.gz", fx_sites, fx_imputed)
    path = tmp_path / "haplotypes.vcf.gz"
    with prediction_writer.create_predictions(path, fx_sites, NAMES) as writer:
        writer.write_haplotypes(0, fx_imputed.alt_probability, is_imputed)
    assert path.read_bytes() == (tmp_path / "whole.vcf.gz").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_threads_and_pieces_leave_no_trace(tmp_path, fx_sites, monkeypatch, suffix):
    imputed = random_imputed(fx_sites, 90)
    files = []
    for threads, cells in ((1, 1 << 15), (2, 1 << 15), (3, 700), (2, 1)):
        monkeypatch.setattr(prediction_writer, "CELLS_PER_PIECE", cells)
        path = tmp_path / f"{threads}-{cells}{suffix}"
        write_all(path, fx_sites, imputed, threads=threads)
        files.append(path.read_bytes())
    assert files[1:] == files[:1] * 3


@pytest.mark.parametrize("num_samples", [1, 40_000])
def test_one_sample_and_many(tmp_path, num_samples):
    sites = made_up_sites("ACGT", "CGTA")
    imputed = random_imputed(sites, num_samples)
    path = tmp_path / "p.vcf.gz"
    write_all(path, sites, imputed, fields=("GT", "DS"), decimals=2)
    found = list(cyvcf2.VCF(str(path)))
    npt.assert_array_equal(np.array([v.genotype.array()[:, :2] for v in found]), imputed.calls)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_long_alleles_are_whole_and_found_from_their_end(tmp_path, suffix):
    """A deletion of 70 kb reaches beyond a block of the file and beyond a bin of the index."""
    deletion, insertion = "A" + "CG" * 35_000, "T" * 9_000
    sites = made_up_sites(["A", deletion, "T", "G"], ["C", "A", insertion, "GA"])
    path = tmp_path / f"p{suffix}"
    write_all(path, sites, random_imputed(sites, 2))
    found = list(cyvcf2.VCF(str(path)))
    assert [(v.REF, v.ALT[0]) for v in found] == list(zip(sites.ref, sites.alt, strict=True))
    assert [v.POS for v in cyvcf2.VCF(str(path))("20:60000-60001")] == [200]
    assert [v.POS for v in cyvcf2.VCF(str(path))("20:290-310")] == [200, 300]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_may_have_no_record(tmp_path, suffix):
    sites = made_up_sites("A", "C")
    with prediction_writer.create_predictions(tmp_path / f"p{suffix}", sites, NAMES):
        pass
    assert list(cyvcf2.VCF(str(tmp_path / f"p{suffix}"))) == []


def test_the_header_has_the_facts(tmp_path):
    sites = made_up_sites("A", "C")
    facts = HeaderFacts(checkpoint="mosaic", checkpoint_fingerprint="ab12")
    write_all(tmp_path / "p.vcf.gz", sites, random_imputed(sites, 2), header=facts)
    header = cyvcf2.VCF(str(tmp_path / "p.vcf.gz")).raw_header
    assert "##vcfbert_checkpoint=<ID=mosaic,Fingerprint=ab12>" in header
    assert "##contig=<ID=20>" in header


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.skipif(shutil.which("bcftools") is None, reason="needs bcftools")
def test_bcftools_reads_it_without_a_murmur(tmp_path, fx_sites, fx_imputed, suffix):
    path = tmp_path / f"p{suffix}"
    write(path, fx_sites, fx_imputed)
    command = ["bcftools", "query", "-f", "%POS[\\t%GT %DS %HDS %GP]\\n", "-r", "20", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [int(line[0]) for line in lines] == fx_sites.position.tolist()
    for row, line in enumerate(lines):
        for n, cell in enumerate(line[1:]):
            genotype, ds, hds, gp = cell.split(" ")
            assert genotype == "|".join(map(str, fx_imputed.calls[row, n]))
            assert float(ds) == pytest.approx(fx_imputed.dosage[row, n], abs=6e-6)
            haplotypes, genotypes = (list(map(float, text.split(","))) for text in (hds, gp))
            npt.assert_allclose(haplotypes, fx_imputed.alt_probability[row, n], atol=6e-6)
            npt.assert_allclose(genotypes, fx_imputed.genotype_probability[row, n], atol=6e-6)


def test_unknown_fields_are_refused_before_anything_is_written(tmp_path, fx_sites, fx_imputed):
    with pytest.raises(ConfigError, match="AD"):
        write(tmp_path / "p.vcf.gz", fx_sites, fx_imputed, fields=("GT", "AD"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.5, 1.5])
def test_what_is_no_probability_is_an_error_that_names_the_place(tmp_path, wrong):
    sites = made_up_sites("ACGT", "CGTA")
    alt = np.zeros((4, 2, 2), dtype=np.float32)
    alt[2, 1, 0] = wrong
    with pytest.raises(StoreError, match="from 20:100 on are not probabilities"):
        write_all(tmp_path / "p.vcf.gz", sites, dosage.from_haplotypes(alt))
    assert list(tmp_path.iterdir()) == []


def write_on_a_small_disk(folder, suffix):
    """Run in a process of its own, where no file may grow beyond 100 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    sites = made_up_sites("ACGT" * 250, "CGTA" * 250)
    try:
        write_all(folder / f"p{suffix}", sites, random_imputed(sites, 50), overwrite=True)
    except StoreError as error:
        print(error)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_a_clear_error_and_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"p{suffix}"
    path.write_bytes(b"mine")
    code = (
        "import pathlib; from tests.storage.vcf import test_prediction_writer as t; "
        f"t.write_on_a_small_disk(pathlib.Path({str(tmp_path)!r}), {suffix!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Cannot write {path}: ")
    assert done.stdout.endswith(". Check the free space and the permissions.\n")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"mine"


def test_a_contig_too_long_for_tabix_gets_the_other_index(tmp_path, fx_sites, fx_imputed):
    far = dataclasses.replace(fx_sites, position=fx_sites.position + (1 << 29))
    path = tmp_path / "p.vcf.gz"
    (tmp_path / "p.vcf.gz.tbi").write_bytes(b"of an older file")
    write(path, far, fx_imputed)
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "p.vcf.gz.csi"]
    with pysam.TabixFile(str(path), index=f"{path}.csi") as file:
        place = int(far.position[50])
        assert len(list(file.fetch("20", place - 1, place))) == 1


def test_the_index_finds_every_record(tmp_path, fx_sites, fx_imputed):
    path = tmp_path / "p.vcf.gz"
    write(path, fx_sites, fx_imputed)
    with pysam.TabixFile(str(path)) as file:
        for place in fx_sites.position.tolist():
            lines = list(file.fetch("20", place - 1, place))
            assert [int(line.split("\t")[1]) for line in lines] == [place]
    assert cyvcf2.VCF(str(path)).num_records == len(fx_sites)


def other(position, ref, alts, calls, *, contig="20"):
    """A record that the panel lacks; `calls` as (first, second, phased) of each sample."""
    record = Record(contig, position, f"x{position}", ref, alts)
    return TypedOnly(record, np.array(calls, dtype=np.int8))


OTHERS = [
    other(50, "A", ["G"], [(0, 1, 1), (1, 0, 0)]),
    other(150, "A", ["G", "T"], [(1, 2, 1), (-1, -1, 0)]),
    other(200, "C", ["T"], [(0, -2, 0), (1, 1, 0)]),
    other(201, "C" * 400, ["C"], [(0, 0, 1), (0, 0, 1)]),
    other(900, "G", [], [(0, 0, 1), (0, 0, 1)]),
    other(901, "G", ["A"], [(-1, 1, 1), (0, 1, 1)]),
]


@pytest.mark.parametrize("cells", [1 << 15, 1, 4])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_records_that_the_panel_lacks_come_among_its_sites(tmp_path, monkeypatch, suffix, cells):
    monkeypatch.setattr(prediction_writer, "CELLS_PER_PIECE", cells)
    sites = made_up_sites("ACGT", "CGTA")  # 100 to 400
    path = tmp_path / f"p{suffix}"
    imputed = random_imputed(sites, 2)
    write_all(path, sites, imputed, kept=OTHERS, decimals=3)
    found = list(cyvcf2.VCF(str(path)))
    assert [v.POS for v in found] == [50, 100, 150, 200, 200, 201, 300, 400, 900, 901]
    assert [v.POS for v in found if v.INFO.get("TYPED_ONLY")] == [50, 150, 200, 201, 900, 901]
    alone = tmp_path / f"alone{suffix}"
    write_all(alone, sites, imputed, decimals=3)
    assert [str(v) for v in found if v.INFO.get("IMP")] == [str(v) for v in cyvcf2.VCF(str(alone))]
    at = {v.POS: str(v).rstrip("\n").split("\t") for v in found if v.INFO.get("TYPED_ONLY")}
    assert at[50][2:] == [
        "x50", "A", "G", ".", "PASS", "AC=2;AN=4;AF=0.5;TYPED_ONLY", "GT:DS:HDS:GP",
        "0|1:1:0,1:0,1,0", "1/0:1:.:0,1,0",
    ]  # fmt: skip
    assert at[150][7:] == [
        "AC=1,1;AN=2;AF=0.5,0.5;TYPED_ONLY", "GT:DS:HDS:GP",
        "1|2:1,1:.:0,0,0,0,1,0", "./.:.:.:.",
    ]  # fmt: skip
    assert at[200][7:] == [
        "AC=2;AN=3;AF=0.666667;TYPED_ONLY", "GT:DS:HDS:GP", "0:0:0:1,0", "1/1:2:1,1:0,0,1"
    ]  # fmt: skip
    assert at[900][7:] == ["AN=4;TYPED_ONLY", "GT:DS:HDS:GP", "0|0:.:.:1", "0|0:.:.:1"]
    assert at[901][7:] == [
        "AC=2;AN=3;AF=0.666667;TYPED_ONLY", "GT:DS:HDS:GP", ".|1:.:.:.", "0|1:1:0,1:0,1,0"
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_index_finds_records_that_the_panel_lacks(tmp_path, suffix):
    sites = made_up_sites("ACGT", "CGTA")
    path = tmp_path / f"p{suffix}"
    write_all(path, sites, random_imputed(sites, 2), kept=OTHERS)
    for region, expected in (
        ("20:1-60", [50]),
        ("20:150-150", [150]),
        ("20:350-380", [201]),  # a deletion of 400 bases
        ("20:200-200", [200, 200]),
        ("20:900-", [900, 901]),
    ):
        assert [v.POS for v in cyvcf2.VCF(str(path))(region)] == expected, region


def test_records_that_the_panel_lacks_are_declared_only_if_there_are_any(tmp_path):
    sites = made_up_sites("ACG", "CGT")
    write_all(tmp_path / "p.vcf.gz", sites, random_imputed(sites, 2))
    assert "TYPED_ONLY" not in cyvcf2.VCF(str(tmp_path / "p.vcf.gz")).raw_header


def test_contigs_have_their_lengths_and_assemblies(tmp_path):
    sites = made_up_sites("A", "C")
    genome = Genome("file:///b37.fa", {"20": 63025520}, {"20": "b37, no alt"})
    for suffix in SUFFIXES:
        path = tmp_path / f"p{suffix}"
        write_all(path, sites, random_imputed(sites, 2), header=HeaderFacts(genome=genome))
        with pysam.VariantFile(str(path)) as file:
            assert file.header.contigs["20"].length == 63025520
            assert 'assembly="b37, no alt"' in str(file.header)
            assert "##reference=file:///b37.fa" in str(file.header)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_for_meta_imputation_has_genotypes_and_left_out_dosages(tmp_path, suffix):
    sites = made_up_sites("ACGT", "CGTA")
    imputed = random_imputed(sites, 3)
    calls = 1 - imputed.calls
    path = tmp_path / f"p{suffix}"
    write_all(path, sites, dataclasses.replace(imputed, calls=calls), layout=EMPIRICAL)
    found = list(cyvcf2.VCF(str(path)))
    assert [v.FORMAT for v in found] == [["GT", "LDS"]] * 4
    npt.assert_array_equal(np.array([v.genotype.array()[:, :2] for v in found]), calls)
    npt.assert_allclose(
        np.array([v.format("LDS") for v in found]), imputed.alt_probability, atol=6e-6
    )
    assert all(v.INFO.get("AF") is None for v in found)

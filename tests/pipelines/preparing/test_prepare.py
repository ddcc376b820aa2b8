from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import panels
from vcfbert.domain import records
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import digests
from vcfbert.pipelines.preparing import prepare as pipeline
from vcfbert.pipelines.preparing import site_collector
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr import masks as mask_store
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace

SMALL = {"window_size": 16, "flank": 2}


def prepare(vcf: Path, root: Path, *, overwrite: bool = False, **options):
    """Prepare with small windows; the summary's report."""
    chosen = PrepareOptions(**(SMALL | options))
    summary = pipeline.prepare(vcf, Workspace(root), chosen, progress=Silent(), overwrite=overwrite)
    return summary.report


def alleles_in(root: Path) -> np.ndarray:
    """(S, H) alleles of the panel store, from the windows' cores."""
    with panel.open_panel(Workspace(root).panel) as reader:
        everyone = np.arange(2 * len(reader.samples))
        parts = [
            reader.tokens(window, everyone)[:, reader.windows.is_core(window)].T
            for window in range(len(reader.windows))
        ]
    return np.concatenate(parts)


@pytest.fixture(scope="session")
def fx_alleles() -> np.ndarray:
    """(60 sites, 40 haplotypes)."""
    return panels.mosaic_alleles(60, 40)


@pytest.fixture(scope="session")
def fx_vcf(tmp_path_factory, fx_alleles) -> Path:
    """20 samples s0 ... s19, sites 100, 200, ..., 6000 of contig 20."""
    path = tmp_path_factory.mktemp("vcf") / "panel.vcf.gz"
    return panels.write_vcf(path, panels.records_of(fx_alleles))


def sample_table(path: Path, split: list[str], names: list[str] | None = None) -> Path:
    names = names or [f"s{n}" for n in range(len(split))]
    rows = [
        f"{name}\tP{n % 3}\t{'EAST' if n % 2 else 'WEST'}\t{code}"
        for n, (name, code) in enumerate(zip(names, split, strict=True))
    ]
    path.write_text("sample\tpopulation\tsuperpopulation\tsplit\n" + "\n".join(rows) + "\n")
    return path


def test_the_panel_holds_the_alleles_of_the_vcf(fx_vcf, fx_alleles, tmp_path):
    report = prepare(fx_vcf, tmp_path, min_mac=0)
    npt.assert_array_equal(alleles_in(tmp_path), fx_alleles)
    assert report["read"] == {"records": 60, "sites": 60, "samples": 20}
    assert report["kept"]["sites"] == 60


GENOTYPES = ["0|0", "0|1", "1|0", "1|1", "0|2", "2|1", ".|.", "0|.", "1", "1/1", "0/0"]
ALTS = ["G", "G,T", "*,T", "<DEL>", "G,<NON_REF>", "."]


@st.composite
def small_vcfs(draw: st.DrawFn) -> list[panels.Record]:
    """Records of two samples with whatever a panel may hold but unphased heterozygotes."""
    positions = sorted(draw(st.lists(st.integers(1, 30), min_size=10, max_size=40)))
    result: list[panels.Record] = [("20", 1, "C", "A", ["0|1", "0|0"])]
    for position in positions:
        alt = draw(st.sampled_from(ALTS))
        most = 0 if alt == "." else alt.count(",") + 1
        usable = [
            text
            for text in GENOTYPES
            if max([*map(int, filter(str.isdigit, text))], default=0) <= most
        ]
        genotypes = draw(st.lists(st.sampled_from(usable), min_size=2, max_size=2))
        result.append(("20", position, "A", alt, genotypes))
    return result


def expected_sites(lines: list[panels.Record]) -> list[tuple[int, str, list[int]]]:
    """The policy read out slowly: position, ALT and alleles of each kept site."""
    kept, seen = [], set()
    for _, position, ref, alt, genotypes in lines:
        pairs = [text.replace("/", "|").split("|") for text in genotypes]
        if any(len(pair) != 2 for pair in pairs) or any("." in pair for pair in pairs):
            continue
        alleles = [int(allele) for pair in pairs for allele in pair]
        for number, name in enumerate(alt.split(","), start=1):
            if name not in (".", "<NON_REF>") and (position, ref, name) not in seen:
                seen.add((position, ref, name))
                kept.append((position, name, [int(allele == number) for allele in alleles]))
    return kept


@settings(max_examples=10, deadline=None)
@given(lines=small_vcfs())
def test_the_panel_follows_the_policy_read_out_slowly(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("policy")
    path = panels.write_vcf(folder / "a.vcf", lines)
    report = prepare(
        path,
        folder / "work",
        missing="drop",
        max_dropped=1.0,
        validation_fraction=0.0,
        test_fraction=0.0,
    )
    expected = expected_sites(lines)
    with panel.open_panel(folder / "work" / "panel.zarr") as reader:
        found = list(zip(reader.sites.position.tolist(), reader.sites.alt, strict=True))
        count = reader.sites.alt_count[:, TRAIN].tolist()
    assert found == [(position, alt) for position, alt, _ in expected]
    npt.assert_array_equal(alleles_in(folder / "work"), [alleles for *_, alleles in expected])
    assert count == [sum(alleles) for *_, alleles in expected]
    assert report["read"]["sites"] == len(expected) + sum(report["dropped"].values())


def test_counts_are_those_of_each_split_and_population(fx_vcf, fx_alleles, tmp_path):
    split = ["train", "train", "validation", "test"] * 5
    report = prepare(fx_vcf, tmp_path, samples=sample_table(tmp_path / "s.tsv", split), min_mac=0)
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        codes = np.repeat(reader.samples.split, 2)
        for code in (TRAIN, VALIDATION, TEST):
            npt.assert_array_equal(
                reader.sites.alt_count[:, code], fx_alleles[:, codes == code].sum(axis=1)
            )
        label = np.repeat(reader.samples.superpopulation, 2)
        assert reader.samples.populations == ("EAST", "WEST")
        for column, name in enumerate(reader.samples.populations):
            npt.assert_array_equal(
                reader.sites.population_alt_count[:, column],
                fx_alleles[:, (codes == TRAIN) & (label == name)].sum(axis=1),
            )
    assert report["samples"]["splits"] == {"train": 10, "validation": 5, "test": 5}


def test_without_a_table_splits_are_drawn_and_there_are_no_populations(fx_vcf, tmp_path):
    report = prepare(fx_vcf, tmp_path, validation_fraction=0.1, test_fraction=0.2)
    assert report["samples"]["splits"] == {"train": 14, "validation": 2, "test": 4}
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        assert reader.samples.populations == ()
        assert reader.sites.population_alt_count.shape == (len(reader.sites), 0)


def test_validation_samples_are_drawn_where_the_table_has_train_and_test_only(fx_vcf, tmp_path):
    table = sample_table(tmp_path / "s.tsv", ["train", "train", "train", "test"] * 5)
    report = prepare(fx_vcf, tmp_path, samples=table, validation_fraction=0.2)
    assert report["samples"]["splits"] == {"train": 12, "validation": 3, "test": 5}


def test_samples_absent_from_the_table_are_left_out_and_counted(fx_vcf, fx_alleles, tmp_path):
    names = [*(f"s{n}" for n in range(4, 16)), "stranger"]
    table = sample_table(tmp_path / "s.tsv", ["train"] * 13, names)
    report = prepare(fx_vcf, tmp_path, samples=table, min_mac=0)
    assert report["samples"]["not_in_table"] == 8
    assert report["samples"]["not_in_panel"] == 1
    npt.assert_array_equal(alleles_in(tmp_path), fx_alleles[:, 8:32])


def test_filters_count_train_and_validation_samples_only(tmp_path):
    genotypes = {
        100: ["0|1", "0|0", "0|0", "0|0"],
        200: ["0|0", "0|0", "0|0", "1|1"],  # seen in the test sample only
        300: ["1|1", "1|1", "1|1", "0|0"],  # REF in the test sample only
        400: ["1|1", "0|1", "0|0", "0|0"],
    }
    path = panels.write_vcf(
        tmp_path / "a.vcf", [("20", p, "A", "G", texts) for p, texts in genotypes.items()]
    )
    table = sample_table(tmp_path / "s.tsv", ["train", "train", "validation", "test"])
    report = prepare(path, tmp_path / "a", samples=table, min_mac=1)
    assert report["kept"]["sites"] == 2
    assert report["dropped"][site_collector.TOO_RARE_MAC] == 2
    report = prepare(path, tmp_path / "b", samples=table, min_maf=0.3, min_mac=1)
    assert report["kept"]["sites"] == 1
    assert report["dropped"][site_collector.TOO_RARE_MAF] == 1


def test_the_genetic_map_places_sites(fx_vcf, tmp_path):
    (tmp_path / "m.map").write_text("chr20 . 0.0 100\nchr20 . 5.9 6000\n")
    prepare(fx_vcf, tmp_path, genetic_map=tmp_path / "m.map")
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        npt.assert_allclose(reader.sites.cm, (reader.sites.position - 100) / 1000, atol=1e-6)


def test_given_windows_become_the_cores_and_drop_what_is_outside(fx_vcf, fx_alleles, tmp_path):
    (tmp_path / "w.csv").write_text("contig,start,end\nchr20,100,500\nchr20,1000,1900\n")
    report = prepare(fx_vcf, tmp_path, windows=tmp_path / "w.csv", min_mac=0)
    assert report["dropped"][site_collector.OUTSIDE] == 45
    assert report["kept"]["windows"] == 2
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        npt.assert_array_equal(reader.windows.core_start, [0, 5])
        npt.assert_array_equal(reader.windows.core_stop, [5, 15])
    npt.assert_array_equal(alleles_in(tmp_path), np.vstack([fx_alleles[:5], fx_alleles[9:19]]))


def test_contigs_keep_their_windows_apart(tmp_path, fx_alleles):
    lines = [
        *panels.records_of(fx_alleles[:30], contig="2"),
        *panels.records_of(fx_alleles[30:], contig="10"),
    ]
    path = panels.write_vcf(tmp_path / "a.vcf", lines)
    prepare(path, tmp_path, min_mac=0)
    npt.assert_array_equal(alleles_in(tmp_path), fx_alleles)
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        assert reader.sites.contigs == ("2", "10")
        assert {30} <= set(reader.windows.core_start.tolist())


def test_the_first_mask_version_fits_the_panel(fx_vcf, tmp_path):
    prepare(fx_vcf, tmp_path)
    workspace = Workspace(tmp_path)
    first = mask_store.read_masks(workspace.version("masks", 0))
    with panel.open_panel(workspace.panel) as reader:
        assert first.panel_fingerprint == reader.fingerprint
        assert first.is_masked.shape == (len(reader.windows), reader.length)
    assert (first.role, first.version) == ("train", 0)


def test_the_same_input_and_seed_give_the_same_panel(fx_vcf, tmp_path):
    first = prepare(fx_vcf, tmp_path / "a")["fingerprint"]
    assert prepare(fx_vcf, tmp_path / "b")["fingerprint"] == first
    assert prepare(fx_vcf, tmp_path / "c", seed=2)["fingerprint"] != first


def test_blocks_do_not_show_in_the_panel(fx_vcf, tmp_path, monkeypatch):
    whole = prepare(fx_vcf, tmp_path / "a")["fingerprint"]
    monkeypatch.setattr("vcfbert.storage.vcf.reading.BLOCK_BYTES", 1)
    assert prepare(fx_vcf, tmp_path / "b")["fingerprint"] == whole


def test_the_report_is_written_and_printed(fx_vcf, tmp_path):
    summary = pipeline.prepare(
        fx_vcf, Workspace(tmp_path), PrepareOptions(**SMALL), progress=Silent()
    )
    assert digests.read_json(tmp_path / "panel.qc.json") == summary.report
    assert list(summary.report["dropped"]) == list(site_collector.REASONS)
    assert any("sites kept" in line and "60" in line for line in summary.lines())


def test_a_panel_is_replaced_only_when_asked(fx_vcf, tmp_path):
    prepare(fx_vcf, tmp_path)
    with pytest.raises(StoreError, match="--force"):
        prepare(fx_vcf, tmp_path)
    prepare(fx_vcf, tmp_path, overwrite=True, seed=2)


def bad_inputs(folder: Path) -> dict[str, tuple[dict, str]]:
    """Options that cannot work with the panel of `fx_vcf`, and what is said about them."""
    (folder / "w.csv").write_text("20,100,6000\n")
    (folder / "m.map").write_text("7 . 0 1\n7 . 1 9\n")
    strangers = sample_table(folder / "x.tsv", ["train"], ["stranger"])
    tested = sample_table(folder / "t.tsv", ["test"] * 20)
    return {
        "strangers": ({"samples": strangers}, r"x\.tsv names none of the 20 samples"),
        "nobody trains": ({"samples": tested}, "left to train on"),
        "empty region": ({"region": "20:7000-8000"}, "no records in 20:7000-8000"),
        "zero sites": (
            {"min_mac": 999},
            r"none of 60 sites is kept \(60 minor allele count.*Lower",
        ),
        "full segment": ({"windows": folder / "w.csv"}, "20:100-6000 has 60 sites.*room for 12"),
        "other map": ({"genetic_map": folder / "m.map"}, r"m\.map has no contig 20"),
        "no map": ({"genetic_map": folder / "no.map"}, r"no\.map does not exist"),
    }


@pytest.mark.parametrize(
    "name",
    ["strangers", "nobody trains", "empty region", "zero sites", "full segment", "other map",
     "no map"],
)  # fmt: skip
def test_bad_input_is_explained_and_leaves_nothing_behind(fx_vcf, tmp_path, name):
    options, message = bad_inputs(tmp_path)[name]
    with pytest.raises(InputError, match=message):
        prepare(fx_vcf, tmp_path / "work", **options)
    assert not list((tmp_path / "work").glob("*"))


def test_filters_are_no_remedy_where_they_dropped_nothing(tmp_path):
    lines = [("20", 5, "A", "G", ["0|.", "0|1"])]
    path = panels.write_vcf(tmp_path / "a.vcf", lines)
    with pytest.raises(InputError, match=r"none of 1 site is kept.*\. Give another region"):
        prepare(path, tmp_path / "work", missing="drop")


def test_a_file_cut_short_leaves_the_old_panel_as_it_was(fx_vcf, tmp_path):
    before = prepare(fx_vcf, tmp_path)["fingerprint"]
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes(fx_vcf.read_bytes()[:-60])
    with pytest.raises(InputError, match="truncated"):
        prepare(cut, tmp_path, overwrite=True)
    with panel.open_panel(tmp_path / "panel.zarr") as reader:
        assert reader.fingerprint == before
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    "options",
    [{"min_maf": 0.6}, {"min_mac": -1}, {"flank": 8}, {"test_fraction": 1.0}, {"seed": -1},
     {"validation_fraction": -0.1}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        PrepareOptions(**(SMALL | options))


def test_an_unphased_panel_is_refused_with_the_remedy(tmp_path):
    lines = [("20", 5, "A", "G", ["0|1", "0|0"]), ("20", 9, "A", "G", ["0/1", "0/0"])]
    path = panels.write_vcf(tmp_path / "a.vcf", lines)
    everyone = {"validation_fraction": 0.0, "test_fraction": 0.0}
    with pytest.raises(InputError, match=r"a\.vcf, 20:9, sample s0.*Phase the panel first"):
        prepare(path, tmp_path / "a", **everyone)
    report = prepare(path, tmp_path / "b", unphased="drop", **everyone)
    assert report["dropped"][records.UNPHASED] == 1


@pytest.mark.shared
def test_the_real_panel_is_a_quarter_of_its_vcf_at_most(tmp_path):
    region = "20:60000-300000"
    data = panels.SHARED_CHR20
    report = pipeline.prepare(
        data / "panel.vcf.gz",
        Workspace(tmp_path),
        PrepareOptions(
            samples=data / "samples.tsv", genetic_map=data / "genetic_map.plink.map", region=region
        ),
        progress=Silent(),
    ).report
    assert report["samples"]["splits"] == {"train": 2164, "validation": 90, "test": 250}
    share = report["read"]["records"] / 25_000
    assert report["bytes"]["panel"] < 0.25 * share * report["bytes"]["input"]


def test_every_site_is_kept_unless_asked_otherwise(tmp_path):
    """Whoever imputes expects an answer at each site of the panel, whoever carries it."""
    rows = [("20", 100, "A", "G", ["0|0"] * 4), ("20", 200, "A", "G", ["0|0", "0|1", "0|0", "0|0"])]
    path = panels.write_vcf(tmp_path / "a.vcf", rows)
    assert prepare(path, tmp_path / "a", test_fraction=0.5)["kept"]["sites"] == 2

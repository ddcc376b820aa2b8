"""Symbolic alleles, markers that share a position, and records with several ALT, end to end."""

import cyvcf2
import numpy as np
import pysam
import pytest

from tests import panels
from tests.pipelines.imputations import run
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.verifying import verify
from vcfbert.pipelines.verifying.verify import VerifyOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

NUM_SAMPLES, NUM_SITES, PLACE = 100, 300, 150
MARKERS = [f"HLA_A*{number:02}:01" for number in range(1, 11)]
HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=6>\n"
    '##ALT=<ID=DEL,Description="Deletion">\n'
    '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type">\n'
    '##INFO=<ID=END,Number=1,Type=Integer,Description="End">\n'
    '##INFO=<ID=SVLEN,Number=.,Type=Integer,Description="Length">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"
)


def line(position, name, ref, alt, numbers, info="."):
    pairs = numbers.reshape(-1, 2).tolist()
    cells = "\t".join(f"{a}|{b}" for a, b in pairs)
    return f"6\t{position}\t{name}\t{ref}\t{alt}\t.\tPASS\t{info}\tGT\t{cells}\n"


@pytest.fixture(scope="module")
def fx_alleles():
    return panels.mosaic_alleles(NUM_SITES, 2 * NUM_SAMPLES, stretch=100)


@pytest.fixture(scope="module")
def fx_home(fx_alleles, tmp_path_factory):
    """A prepared panel and its VCF: SNVs every 1 kb, and at 150 kb everything else."""
    folder = tmp_path_factory.mktemp("kinds")
    rows = []
    code = fx_alleles[PLACE - 3 : PLACE + 3].T @ (2 ** np.arange(6))
    patterns = np.unique(code)[: len(MARKERS)]
    both = np.where(fx_alleles[PLACE] == 1, 1, 2 * fx_alleles[PLACE + 1])
    for site, alleles in enumerate(fx_alleles):
        position = 1000 * (site + 1)
        rows.append(line(position, f"rs{site}", "A", "G", alleles))
        if site != PLACE:
            continue
        rows += [line(position, name, "A", "T", (code == patterns[n % len(patterns)]).astype(int))
                 for n, name in enumerate(MARKERS)]  # fmt: skip
        sv = f"SVTYPE=DEL;END={position + 900};SVLEN=-900"
        rows.append(line(position, "del1", "A", "<DEL>", fx_alleles[PLACE + 1], sv))
        rows.append(line(position, "alu", "A", "<INS:ME:ALU>", alleles, f"END={position}"))
        cn = f"SVTYPE=CNV;END={position + 5000};SVLEN=-5000,5000"
        rows.append(line(position, "cn", "A", "<CN0>,<CN2>", both, cn))
        rows.append(line(position, "star", "A", "C,*", both))
        rows.append(line(position, "bnd", "A", "A[6:5000[", alleles, "SVTYPE=BND"))
    path = folder / "panel.vcf"
    names = "\t".join(f"s{n}" for n in range(NUM_SAMPLES))
    path.write_text(HEADER + names + "\n" + "".join(rows))
    home = Workspace(folder / "work")
    options = PrepareOptions(window_size=120, flank=8)
    prepare.prepare(path, home, options, progress=Silent())
    return home, path


def write_target(folder, fx_alleles, extra=()):
    """Two new samples, typed at every third SNV and at the given records of the place."""
    mixed = np.hstack([fx_alleles[:, [5]], fx_alleles[:, [80]], fx_alleles[:, [121, 33]]])
    rows = {site: line(1000 * (site + 1), ".", "A", "G", mixed[site])
            for site in range(0, NUM_SITES, 3) if site != PLACE}  # fmt: skip
    rows[PLACE] = "".join(extra)
    text = HEADER + "t0\tt1\n" + "".join(rows[site] for site in sorted(rows))
    path = folder / "target.vcf"
    path.write_text(text)
    return path


def test_every_kind_is_kept_imputed_and_written_as_in_the_panel(fx_home, fx_alleles, tmp_path):
    home, _ = fx_home
    out = tmp_path / "out.vcf.gz"
    run(home, write_target(tmp_path, fx_alleles), out)
    here = [v for v in cyvcf2.VCF(str(out)) if v.POS == 1000 * (PLACE + 1)]
    assert [v.ID for v in here] == [
        f"rs{PLACE}", *MARKERS, "del1", "alu", "cn", "cn", "star", "star", "bnd"
    ]  # fmt: skip
    assert [v.ALT for v in here[11:]] == [
        ["<DEL>"], ["<INS:ME:ALU>"], ["<CN0>"], ["<CN2>"], ["C"], ["*"], ["A[6:5000["]
    ]  # fmt: skip
    assert [v.INFO.get("END") for v in here[11:15]] == [151_900, 151_000, 156_000, 156_000]
    lengths = [v.INFO.get("SVLEN") for v in (here[11], here[13], here[14])]
    assert lengths == [-900, -5000, 5000]
    expected = fx_alleles[[PLACE, PLACE + 1]][:, [5, 80, 121, 33]].reshape(2, 2, 2).sum(axis=2)
    dosages = np.stack([v.format("DS")[:, 0] for v in here])
    np.testing.assert_allclose(dosages[[12, 11]], expected, atol=0.2)


@pytest.mark.parametrize("suffix", [".vcf.gz", ".bcf"])
def test_the_output_is_valid_and_its_index_covers_each_variant_to_its_end(
    fx_home, fx_alleles, tmp_path, suffix
):
    out = tmp_path / f"out{suffix}"
    run(fx_home[0], write_target(tmp_path, fx_alleles), out)
    with pysam.VariantFile(str(out)) as file:
        assert {"DEL", "INS:ME:ALU", "CN0", "CN2"} <= set(file.header.alts)
        found = [record.id for record in file.fetch("6", 151_500, 151_600)]
    assert found == ["del1", "cn", "cn"]
    if suffix == ".vcf.gz":
        copy = tmp_path / "copy.vcf.gz"
        copy.write_bytes(out.read_bytes())
        pysam.tabix_index(str(copy), preset="vcf")
        with pysam.VariantFile(str(copy)) as file:
            assert [record.id for record in file.fetch("6", 151_500, 151_600)] == found


def test_the_sites_of_one_record_share_its_number(fx_home):
    with open_panel(fx_home[0].panel) as panel:
        sites = panel.sites
    names = np.array(sites.identifier)
    assert len(set(sites.record[names == "cn"].tolist())) == 1
    assert len(set(sites.record[np.isin(names, MARKERS)].tolist())) == len(MARKERS)
    assert sites.record.tolist() == sorted(sites.record.tolist())
    assert sites.record[-1] == len(sites) - 3  # two records have two ALT


def test_a_marker_is_typed_by_its_id_and_refused_without(fx_home, fx_alleles, tmp_path):
    ones = np.array([1, 0, 0, 1])
    place = 1000 * (PLACE + 1)
    extra = [line(place, MARKERS[3], "A", "T", ones), line(place, ".", "A", "T", ones),
             line(place, "mine", "A", "<DEL>", ones, f"END={place + 900}")]  # fmt: skip
    out = tmp_path / "out.vcf.gz"
    run(fx_home[0], write_target(tmp_path, fx_alleles, extra), out)
    typed = [v.ID for v in cyvcf2.VCF(str(out)) if v.POS == place and v.INFO.get("TYPED")]
    assert typed == [MARKERS[3], "del1"]
    dropped = (out.with_name("out.qc") / "dropped.tsv").read_text().splitlines()[1:]
    assert [text.split("\t")[-1] for text in dropped] == [
        "several sites of the panel have these alleles, and no ID decides"
    ]


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        (f"\tA\tT\t{MARKERS[2]}", [MARKERS[2]]),
        ("\tA\tT", MARKERS),
        ("\tA\t<DEL>", ["del1"]),
        ("\tA\t<DEL>\tanything", ["del1"]),
    ],
)
def test_a_list_of_sites_names_them_by_alleles_and_id(fx_home, fx_alleles, tmp_path, listed, names):
    (tmp_path / "sites.tsv").write_text(f"6\t{1000 * (PLACE + 1)}{listed}\n")
    out = tmp_path / "out.vcf.gz"
    run(fx_home[0], write_target(tmp_path, fx_alleles), out, sites=tmp_path / "sites.tsv")
    assert [v.ID for v in cyvcf2.VCF(str(out))] == names


def test_verify_finds_the_panel_equal_to_its_source_and_a_changed_end_different(fx_home, tmp_path):
    home, path = fx_home

    def faults(source):
        report = verify.verify(home, VerifyOptions(source=source), progress=Silent())
        return [fault for store in report.stores for fault in store.faults]

    assert faults(path) == []
    changed = tmp_path / "changed.vcf"
    changed.write_text(path.read_text().replace("SVTYPE=DEL;END=151900", "SVTYPE=DEL;END=151901"))
    (fault,) = faults(changed)
    assert "1 site has another END, SVTYPE or SVLEN" in fault
    assert "A><DEL>" in fault


def test_an_output_is_a_panel_again(fx_home, fx_alleles, tmp_path):
    """Its symbolic alleles, markers and ends survive another round."""
    out = tmp_path / "out.vcf.gz"
    run(fx_home[0], write_target(tmp_path, fx_alleles), out, fields=("GT",))
    again = Workspace(tmp_path / "again")
    options = PrepareOptions(window_size=120, flank=8, validation_fraction=0, test_fraction=0)
    prepare.prepare(out, again, options, progress=Silent())
    with open_panel(fx_home[0].panel) as first, open_panel(again.panel) as second:
        assert second.sites.identifier == first.sites.identifier
        assert second.sites.alt == first.sites.alt
        assert second.sites.info == first.sites.info

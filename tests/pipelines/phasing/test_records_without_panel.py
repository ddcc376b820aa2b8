"""Records that the panel lacks: unphased and counted, or in the order of their phase set."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED, formats
from vcfbert.pipelines.phasing import phase
from vcfbert.pipelines.phasing.phase import PhaseOptions
from vcfbert.progress import Silent

PHASE_SETS = '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Phase set">\n'
HETS = ("0|1", "1|0")


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def fx_truth():
    """(T, 2) alleles of one sample at the typed sites."""
    return imputations.samples_alleles(1)[TYPED]


def write(path, lines, format_="GT:PS"):
    """A target of one sample; lines of position, ALT and cell, at sites whose REF is A."""
    body = "".join(
        f"20\t{position}\t.\tA\t{alt}\t.\t.\t.\t{format_}\t{cell}\n"
        for position, alt, cell in sorted(lines)
    )
    header = panels.HEADER.format(contigs="##contig=<ID=20>\n", names="t0")
    path.write_text(header.replace("#CHROM", f"{PHASE_SETS}#CHROM", 1) + body)
    return path


def run(home, target, out, **options):
    return phase.phase(home, target, out, PhaseOptions(**options), progress=Silent())


def read(path):
    """GT, PS and PQ by position and ALT."""
    with gzip.open(path, "rt") as file:
        keys = [tuple(line.split("\t", 5)[1:5:3]) for line in file if line[0] != "#"]
    return {
        (int(position), alt): [cell.get(key, ".") for key in ("GT", "PS", "PQ")]
        for (position, alt), (cell,) in zip(keys, formats(path), strict=True)
    }


def test_a_record_that_the_panel_lacks_follows_its_phase_set(fx_home, fx_truth, tmp_path):
    """Sets of ten typed sites, each turned at random, with a record of the panel and two without.

    Each further het is on the haplotype of the ALT of the first typed het of its set.
    """
    rng = np.random.default_rng(4)
    hets = np.flatnonzero(fx_truth[:, 0] != fx_truth[:, 1])
    lines, expected = [], {}
    for first in range(0, len(hets), 6):
        members, is_turned = hets[first : first + 6], bool(rng.integers(2))
        name = 1000 * (TYPED[members[0]] + 1)
        for row in members.tolist():
            pair = fx_truth[row, ::-1] if is_turned else fx_truth[row]
            lines.append((1000 * (int(TYPED[row]) + 1), "G", f"{pair[0]}|{pair[1]}:{name}"))
        anchor = fx_truth[members[0], ::-1] if is_turned else fx_truth[members[0]]
        for offset, row in ((-300, members[0]), (300, members[-1])):
            place = 1000 * (int(TYPED[row]) + 1) + offset
            lines.append((place, "C", f"{anchor[0]}|{anchor[1]}:{name}"))
            expected[place, "C"] = (1000 * (int(TYPED[members[0]]) + 1), "G")
    for row in np.setdiff1d(np.arange(len(TYPED)), hets).tolist():
        cell = "/".join(map(str, fx_truth[row]))
        lines.append((1000 * (int(TYPED[row]) + 1), "G", f"{cell}:."))
    summary = run(fx_home, write(tmp_path / "t.vcf", lines), tmp_path / "o.vcf.gz")
    found = read(summary.out)
    given = {(position, alt): cell.split(":")[0] for position, alt, cell in lines}
    turned = 0
    for key, anchor in expected.items():
        assert found[key][0] == found[anchor][0]
        assert found[key][2] == "."
        turned += found[key][0] != given[key]
    assert 0 < turned < len(expected)
    names = {found[key][1] for key in found if found[key][0] in HETS}
    assert names == {str(min(expected)[0])}  # one set, named after its first heterozygote
    assert summary.report["phase_sets"] == 1
    assert summary.report["heterozygotes"] == {
        "phased": len(hets) + len(expected), "unphased": 0, "unphased_not_in_panel": 0,
    }  # fmt: skip
    redone = run(fx_home, tmp_path / "t.vcf", tmp_path / "r.vcf.gz", phase="redo")
    assert all("/" in read(redone.out)[key][0] for key in expected)


def test_sets_without_the_panel_are_kept_apart_and_others_counted(fx_home, fx_truth, tmp_path):
    lines = [
        (1000 * (int(site) + 1), "G", "{}/{}:.".format(*pair))
        for site, pair in zip(TYPED, fx_truth.tolist(), strict=True)
    ]
    first = int(np.flatnonzero(fx_truth[:, 0] != fx_truth[:, 1])[0])
    lines[first] = (*lines[first][:2], "0|1:7")
    lines += [(50_100, "C", "1|0:50100"), (52_100, "C", "0|1:50100"), (53_100, "C", "0|1:53100"),
              (54_100, "C", "0/1:."), (55_100, "C", "1|1:.")]  # fmt: skip
    summary = run(fx_home, write(tmp_path / "t.vcf", lines), tmp_path / "o.vcf.gz")
    found = read(summary.out)
    assert found[50_100, "C"] == ["1|0", "50100", "."]
    assert found[52_100, "C"] == ["0|1", "50100", "."]
    assert found[53_100, "C"] == ["0/1", ".", "."]
    assert found[54_100, "C"] == ["0/1", ".", "."]
    assert found[55_100, "C"][0] == "1|1"
    assert summary.report["phase_sets"] == 2
    assert summary.report["heterozygotes"]["unphased_not_in_panel"] == 2
    table = dict(line.split("  ", 1) for line in map(str.strip, summary.lines()))
    assert table["not in the panel"].strip() == "5"
    assert table["of records not matched to the panel"].strip() == "2"


@pytest.fixture(scope="module")
def fx_mixed(fx_home, tmp_path_factory):
    """Phased records among others that stay unphased, of several samples, and the panel's file."""
    folder = tmp_path_factory.mktemp("mixed")
    alleles = imputations.samples_alleles(3)[TYPED].reshape(len(TYPED), 3, 2)
    made = []
    for row, site in enumerate(TYPED.tolist()):
        cells = [f"{min(pair)}/{max(pair)}" for pair in alleles[row].tolist()]
        made.append(("20", 1000 * (site + 1), "A", "G", cells))
        other = [("A", "C"), ("AT", "A"), ("A", "<DEL>"), ("A", "C,T"), ("A", "*")][row % 5]
        cells = ["0/1", "./.", "1/2" if row % 5 == 3 else "1/1"]
        made.append(("20", 1000 * (site + 1) + 500, *other, cells))
    target = panels.write_vcf(folder / "t.vcf", made, ["t0", "t1", "t2"])
    summary = run(fx_home, target, folder / "phased.vcf.gz", fill_missing=True)
    assert summary.report["heterozygotes"]["unphased_not_in_panel"] == len(TYPED) * 6 // 5
    records = panels.records_of(imputations.panel_alleles(), contig="20", step=1000)
    panels.write_vcf(folder / "panel.vcf.gz", records)
    return folder


def checked(program, *words, folder):
    """Run a program on the phased file; skip if it is absent."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is absent")
    done = subprocess.run(
        [path, *map(str, words)], capture_output=True, text=True, cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:] + done.stdout[-500:]
    return done.stdout


def test_bcftools_reads_a_mixed_file(fx_mixed):
    checked("bcftools", "view", "phased.vcf.gz", "-Ob", "-o", "o.bcf", folder=fx_mixed)
    lines = checked("bcftools", "query", "-f", "[%PS %FQ\n]", "o.bcf", folder=fx_mixed)
    assert len(lines.splitlines()) == 6 * len(TYPED)


def test_whatshap_reads_a_mixed_file(fx_mixed):
    out = checked(
        "whatshap", "compare", "phased.vcf.gz", "phased.vcf.gz", "--sample", "t0", folder=fx_mixed
    )
    assert "phased pairs of variants assessed" in out


@pytest.mark.slow
def test_beagle_reads_a_mixed_file(fx_mixed):
    checked("beagle", "gt=phased.vcf.gz", "ref=panel.vcf.gz", "out=b", folder=fx_mixed)
    assert Path(fx_mixed / "b.vcf.gz").stat().st_size > 0


def test_minimac4_reads_a_mixed_file(fx_mixed):
    checked("tabix", "-f", "-p", "vcf", "panel.vcf.gz", folder=fx_mixed)
    checked("minimac4", "--compress-reference", "panel.vcf.gz", "-o", "p.msav", folder=fx_mixed)
    checked("minimac4", "p.msav", "phased.vcf.gz", "-o", "m.vcf.gz", folder=fx_mixed)
    lines = checked("bcftools", "view", "-H", "m.vcf.gz", folder=fx_mixed).splitlines()
    assert len(lines) == imputations.NUM_SITES

"""`phase`: the target's own records, in the order that the panel's haplotypes show."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import numpy.testing as npt
import pysam
import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import TYPED, field, unphased_records
from vcfbert.domain.phased_calls import AS_WRITTEN, NO_QUALITY, TURNED, UNPHASED
from vcfbert.errors import InputError, StoreError
from vcfbert.phasing.phase_chunk import PhasingOptions
from vcfbert.pipelines.chunks import chunk_plan
from vcfbert.pipelines.chunks.chunk_phasing import certain, oriented
from vcfbert.pipelines.chunks.target_samples import TargetSamples
from vcfbert.pipelines.phasing import phase, phased_target
from vcfbert.pipelines.phasing.phase import PhaseOptions
from vcfbert.pipelines.phasing.phased_target import PhasedTarget, PhasingSource
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.progress import Silent
from vcfbert.storage.vcf import phased_cells
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

NUM_SAMPLES = 4
COMPLEMENT = {"A": "T", "G": "C"}


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("panel"))


@pytest.fixture(scope="module")
def fx_truth():
    """(T, N, 2) alleles at the typed sites."""
    return imputations.samples_alleles(NUM_SAMPLES)[TYPED].reshape(len(TYPED), NUM_SAMPLES, 2)


@pytest.fixture(scope="module")
def fx_plain(fx_home, fx_truth, tmp_path_factory):
    """An unphased target and what becomes of it."""
    folder = tmp_path_factory.mktemp("plain")
    target = write(folder / "t.vcf", unphased_records(fx_truth))
    return target, run(fx_home, target, folder / "o.vcf.gz")


def write(path, made):
    """A target whose samples the panel does not have."""
    return panels.write_vcf(path, made, [f"t{n}" for n in range(len(made[0][4]))])


def run(home, target, out, **options):
    chosen = PhaseOptions(**({"threads": 2} | options))
    return phase.phase(home, target, out, chosen, progress=Silent())


def records(path):
    with gzip.open(path, "rt") as file:
        return [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]


def genotypes(path):
    """(T, N) texts."""
    return field(path, "GT")


def test_heterozygotes_are_phased_like_the_haplotypes_they_were_made_of(fx_plain, fx_truth):
    target, summary = fx_plain
    written = genotypes(summary.out)
    pairs = np.array([[text.split("|") for text in row] for row in written.tolist()]).astype(int)
    npt.assert_array_equal(np.sort(pairs, axis=2), np.sort(fx_truth, axis=2))
    switches = turns = 0
    for sample in range(NUM_SAMPLES):
        hets = np.flatnonzero(fx_truth[:, sample, 0] != fx_truth[:, sample, 1])
        same = pairs[hets, sample, 0] == fx_truth[hets, sample, 0]
        switches += int((same[1:] != same[:-1]).sum())
        turns += len(hets) - 1
    assert switches < 0.35 * turns  # a coin would give a half
    assert summary.report["heterozygotes"] == {
        "phased": turns + NUM_SAMPLES, "unphased": 0, "unphased_not_in_panel": 0,
    }  # fmt: skip
    assert summary.report["phase_sets"] == NUM_SAMPLES
    assert [row[:8] for row in records(summary.out)] == [
        line.split("\t")[:8] for line in target.read_text().splitlines() if line[0] != "#"
    ]


def test_sets_are_named_after_their_first_heterozygote_and_its_quality_is_missing(fx_plain):
    _, summary = fx_plain
    written, sets = genotypes(summary.out), field(summary.out, "PS")
    quality = field(summary.out, "PQ")
    is_het = np.isin(written, ["0|1", "1|0"])
    position = [row[1] for row in records(summary.out)]
    npt.assert_array_equal(sets != ".", is_het)
    for sample in range(NUM_SAMPLES):
        hets = np.flatnonzero(is_het[:, sample])
        assert set(sets[hets, sample]) == {position[hets[0]]}
        scores = quality[hets, sample]
        assert scores[0] == "."
        assert all(0 <= int(score) <= 99 for score in scores[1:])
    wrong = 10 ** (-quality[is_het & (quality != ".")].astype(float) / 10)
    assert summary.report["mean_confidence"] == pytest.approx(1 - wrong.mean())


def test_recoded_records_are_phased_alike_in_their_own_alleles(
    fx_home, fx_truth, fx_plain, tmp_path
):
    """Swapped alleles, strand flips and further ALT; other records and their copies stay."""
    made, expected = [], []
    plain = genotypes(fx_plain[1].out)
    kinds = [("A", "G", "01"), ("G", "A", "10"), ("T", "C", "01"), ("C", "T", "10"),
             ("A", "T,G", "02")]  # fmt: skip
    for row, record in enumerate(unphased_records(fx_truth)):
        ref, alt, codes = kinds[row % len(kinds) if row % 4 == 0 else 0]
        table = str.maketrans("01", codes)
        made.append((*record[:2], ref, alt, [cell.translate(table) for cell in record[4]]))
        expected.append([cell.translate(table) for cell in plain[row]])
        if row == 6:
            made.append(made[-1])  # a record twice: the first is phased
            expected.append(record[4])
        if row == 7:
            made.append(("20", record[1] + 1, "A", "C", ["0/1", "0|1", "1|1", "."]))
            expected.append(["0/1", "0/1", "1|1", "."])
    target = write(tmp_path / "t.vcf", made)
    summary = run(fx_home, target, tmp_path / "o.vcf.gz")
    assert genotypes(summary.out).tolist() == expected
    assert [row[3:5] for row in records(summary.out)] == [[r[2], r[3]] for r in made]


def test_missing_genotypes_stay_missing(fx_home, fx_truth, tmp_path):
    made = unphased_records(fx_truth)
    made[3] = (*made[3][:4], ["./.", ".|.", "./1", "0|."])
    made[4] = (*made[4][:4], ["./."] * 4)
    target = write(tmp_path / "t.vcf", made)
    summary = run(fx_home, target, tmp_path / "o.vcf.gz")
    written = genotypes(summary.out).tolist()
    assert written[3:5] == [["./.", "./.", "./1", "0/."], ["./."] * 4]
    assert summary.report["missing"] == 8


def test_samples_with_no_one_or_only_heterozygotes(fx_home, tmp_path):
    """The output is VCF and BCF, and the same for any number of threads."""
    calls = [[f"{site % 2}/{site % 2}", "0/1" if site == 9 else "1/1", "0/1"]
             for site in range(len(TYPED))]  # fmt: skip
    made = [("20", 1000 * (site + 1), "A", "G", row) for site, row in zip(TYPED, calls,
                                                                          strict=True)]  # fmt: skip
    target = write(tmp_path / "t.vcf.gz", made)
    one = run(fx_home, target, tmp_path / "o.vcf.gz", threads=1)
    assert one.report["phase_sets"] == 2
    assert one.report["heterozygotes"] == {
        "phased": 1 + len(TYPED), "unphased": 0, "unphased_not_in_panel": 0,
    }  # fmt: skip
    written, sets = genotypes(one.out), field(one.out, "PS")
    assert set(written[:, 0]) == {"0|0", "1|1"}
    assert set(written[:, 2]) <= {"0|1", "1|0"}
    assert np.flatnonzero(sets[:, 1] != ".").tolist() == [9]
    many = run(fx_home, target, tmp_path / "o3.vcf.gz", threads=3)
    assert many.out.read_bytes() == one.out.read_bytes()
    bcf = run(fx_home, target, tmp_path / "o.bcf")
    with pysam.VariantFile(str(bcf.out)) as file:
        found = [str(record).rstrip("\n").split("\t") for record in file.fetch("20")]
    assert found == records(one.out)


def test_a_phased_file_keeps_its_phase_unless_it_is_redone(fx_home, fx_truth, tmp_path):
    flipped = fx_truth.copy()
    flipped[30:] = flipped[30:, :, ::-1]
    made = [(*record[:4], [f"{a}|{b}" for a, b in row])
            for record, row in zip(unphased_records(fx_truth), flipped.tolist(),
                                   strict=True)]  # fmt: skip
    target = write(tmp_path / "t.vcf", made)
    kept = run(fx_home, target, tmp_path / "o.vcf.gz")
    assert genotypes(kept.out).tolist() == [record[4] for record in made]
    assert kept.report["samples_kept"] == NUM_SAMPLES
    assert set(field(kept.out, "PQ").ravel()) == {"."}
    again = run(fx_home, kept.out, tmp_path / "o2.vcf.gz")
    assert genotypes(again.out).tolist() == [record[4] for record in made]
    redone = run(fx_home, target, tmp_path / "o3.vcf.gz", phase="redo")
    assert genotypes(redone.out).tolist() != [record[4] for record in made]


def test_phase_sets_of_reads_keep_their_order_and_are_joined(fx_home, fx_truth, tmp_path):
    lines = []
    for row, (contig, position, ref, alt, cells) in enumerate(unphased_records(fx_truth)):
        kept = "|".join(map(str, fx_truth[row, 0]))
        first = f"{kept}:{1 + row // 25}"
        cells = "\t".join([first, *(f"{cell}:." for cell in cells[1:])])
        lines.append(f"{contig}\t{position}\t.\t{ref}\t{alt}\t.\t.\t.\tGT:PS\t{cells}\n")
    target = tmp_path / "t.vcf"
    names = [f"t{n}" for n in range(NUM_SAMPLES)]
    target.write_text(
        panels.HEADER.format(contigs="##contig=<ID=20>\n", names="\t".join(names)).replace(
            "#CHROM", '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Set">\n#CHROM'
        )
        + "".join(lines)
    )
    summary = run(fx_home, target, tmp_path / "o.vcf.gz")
    assert summary.report["phase_sets"] == NUM_SAMPLES
    written, quality = genotypes(summary.out)[:, 0], field(summary.out, "PQ")[:, 0]
    hets = np.flatnonzero(np.isin(written, ["0|1", "1|0"]))
    is_same = np.array([int(written[het][0]) == fx_truth[het, 0, 0] for het in hets])
    for number in range(3):
        assert len(set(is_same[hets // 25 == number])) == 1
    joints = {int(hets[hets // 25 == number][0]) for number in (1, 2)}
    assert {int(het) for het in hets if quality[het] != "."} == joints


def test_chunks_without_common_heterozygotes_begin_new_sets(fx_home, fx_plain, tmp_path):
    target, whole = fx_plain
    apart = run(fx_home, target, tmp_path / "o.vcf.gz", chunk_cm=0.1, overlap_cm=0.0)
    assert apart.report["chunks"] == 3
    assert apart.report["phase_sets"] == 3 * NUM_SAMPLES
    joined = run(fx_home, target, tmp_path / "o2.vcf.gz", chunk_cm=0.1, overlap_cm=0.05)
    assert joined.report["phase_sets"] == NUM_SAMPLES
    assert (genotypes(joined.out) == genotypes(whole.out)).mean() > 0.6


def test_a_region_is_written_alone(fx_home, fx_plain, tmp_path):
    target, whole = fx_plain
    part = run(fx_home, target, tmp_path / "o.vcf.gz", region="chr20:100000-200000")
    inside = [row for row in records(whole.out) if 100_000 <= int(row[1]) <= 200_000]
    assert [row[:5] for row in records(part.out)] == [row[:5] for row in inside]
    assert genotypes(part.out).tolist() == [
        [cell.split(":")[0] for cell in row[9:]] for row in inside
    ]
    assert part.report["phase_sets"] == NUM_SAMPLES


def test_two_chunks_are_joined_where_they_agree(fx_home, monkeypatch):
    """Each chunk has one probability for all of its orders, to see which of the two was taken."""
    typed = np.arange(0, 20)
    alleles = np.tile(np.array([0, 1], np.uint8), (20, 2, 1))
    is_turned = {0: np.zeros((2, 20), bool), 1: np.zeros((2, 20), bool)}
    is_turned[0][0, 8:10] = True  # the first sample's last heterozygotes before the second core
    is_turned[1][1, :10] = True  # all of the second sample's
    chunks = [
        chunk_plan.ChunkPlan(n, slice(10 * n, 10 * n + 10), slice(0, 20), typed, typed)
        for n in range(2)
    ]
    calls = iter([0, 1])

    def find(samples, panel, block, options, before, *, trust, threads, joint=None):
        number = next(calls)
        found = samples.queries(panel.sites, block)
        for sample in range(2):
            here = is_turned[number][sample]
            found[sample][:, here] = found[sample][::-1, here]
        turn = np.full((2, 20), [0.1, 0.01][number], np.float32)
        phases = replace(certain(found), turn=turn, is_given=np.zeros((2, 20), bool))
        return oriented(phases, panel.sites, block, before)

    monkeypatch.setattr(phased_target.chunk_phasing, "find", find)
    none = [np.empty(0, np.int64)] * 4
    samples = TargetSamples(["a", "b"], typed, alleles, np.ones((20, 2), bool), none)
    with open_panel(fx_home.panel) as panel:
        source = PhasingSource(panel, panel.sites, samples, 5, PhasingOptions(), "keep", 1)
        phased = PhasedTarget(source, typed)
        for chunk in chunks:
            phased.add(chunk, lambda count: None)
    order, quality = phased.calls.order.T, phased.calls.quality.T
    assert order[0].tolist() == [AS_WRITTEN] * 20  # joined at the eighth
    assert quality[0].tolist() == [NO_QUALITY, *[10] * 7, *[20] * 12]
    assert order[1].tolist() == [AS_WRITTEN] * 10 + [TURNED] * 10
    assert quality[1].tolist() == [NO_QUALITY, *[10] * 9, *[20] * 10]
    assert np.argwhere(phased.calls.is_start).tolist() == [[0, 0], [0, 1]]
    assert UNPHASED not in phased.calls.order


def test_contigs_have_sets_of_their_own_in_the_order_of_the_file(fx_truth, tmp_path):
    alleles = imputations.panel_alleles()[:, :60]
    made = [
        record
        for contig in ("1", "2")
        for record in panels.records_of(alleles, contig=contig, step=1000)
    ]
    home = Workspace(tmp_path / "work")
    vcf = panels.write_vcf(tmp_path / "panel.vcf.gz", made)
    prepare.prepare(vcf, home, PrepareOptions(window_size=62, flank=2), progress=Silent())
    target = write(
        tmp_path / "t.vcf",
        unphased_records(fx_truth, contig="chr2") + unphased_records(fx_truth, contig="chr1"),
    )
    summary = run(home, target, tmp_path / "o.vcf.gz")
    assert summary.report["chunks"] == 2
    assert summary.report["phase_sets"] == 2 * NUM_SAMPLES
    assert [row[0] for row in records(summary.out)] == ["chr2"] * len(TYPED) + ["chr1"] * len(TYPED)
    sets, quality = field(summary.out, "PS"), field(summary.out, "PQ")
    npt.assert_array_equal(sets[: len(TYPED)], sets[len(TYPED) :])
    is_first = (sets != ".") & (quality == ".")
    assert is_first.sum() == 2 * NUM_SAMPLES


def test_a_stopped_command_leaves_nothing(fx_home, fx_plain, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(phased_cells.PhasedCells, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(fx_home, fx_plain[0], tmp_path / "o.vcf.gz")
    assert list(tmp_path.iterdir()) == []


def test_an_output_is_not_replaced_unasked_and_never_the_target(fx_home, fx_truth, tmp_path):
    target = write(tmp_path / "t.vcf.gz", unphased_records(fx_truth))
    content = target.read_bytes()
    with pytest.raises(StoreError, match="--force"):
        run(fx_home, target, target)
    with pytest.raises(InputError, match="is the target itself"):
        phase.phase(
            fx_home, target, target, PhaseOptions(), progress=Silent(), overwrite=True
        )  # fmt: skip
    assert target.read_bytes() == content


def test_a_target_elsewhere_is_refused(fx_home, fx_truth, tmp_path):
    target = write(tmp_path / "t.vcf", unphased_records(fx_truth, contig="21"))
    with pytest.raises(InputError, match="share no contig"):
        run(fx_home, target, tmp_path / "o.vcf.gz")
    few = write(tmp_path / "few.vcf", unphased_records(fx_truth)[:3])
    with pytest.raises(InputError, match="--min-typed"):
        run(fx_home, few, tmp_path / "o.vcf.gz")

"""Strand flips and swapped alleles in a target, end to end on a simulated panel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest
from numpy.typing import NDArray

from tests import panels
from tests.pipelines.imputations import run
from vcfbert.domain.matching import is_palindromic, other_strand
from vcfbert.errors import InputError
from vcfbert.pipelines.imputing.qc_files import ImputeSummary
from vcfbert.pipelines.preparing import prepare, simulate
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.pipelines.preparing.simulate import SimulateOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace

Key = tuple[int, str, str]


@dataclass(frozen=True)
class Simulated:
    """A prepared panel, and the correct records of a target: key to (N, 2) alleles."""

    workspace: Workspace
    records: dict[Key, NDArray[np.int8]]


def alleles_of(path: Path, *, typed: bool = False) -> dict[Key, NDArray[np.int8]]:
    """Alleles by position, REF and ALT; of an imputed file those at typed sites."""
    return {
        (one.POS, one.REF, one.ALT[0]): one.genotype.array()[:, :2].astype(np.int8)
        for one in cyvcf2.VCF(str(path))
        if not typed or one.INFO.get("TYPED") is not None
    }


@pytest.fixture(scope="module")
def fx_simulated(tmp_path_factory) -> Simulated:
    """200 samples over 500 kb; a tenth of them is the target."""
    folder = tmp_path_factory.mktemp("strand")
    simulate.simulate(
        folder / "sim", SimulateOptions(num_samples=200, length=500_000), progress=Silent()
    )
    workspace = Workspace(folder / "work")
    options = PrepareOptions(genetic_map=None)
    prepare.prepare(folder / "sim" / "panel.vcf.gz", workspace, options, progress=Silent())
    return Simulated(workspace, alleles_of(folder / "sim" / "target.vcf.gz"))


def write(
    path: Path, made: Simulated, *, flip_rate: float, swap: float | str = 0.0, num: int = 20
) -> Path:
    """The target with strand flips and swapped alleles; `swap` major writes as PLINK does."""
    rng = np.random.default_rng(8)
    rows = []
    for (position, ref, alt), whole in made.records.items():
        alleles = whole[:num]
        is_flip, is_swap = rng.random() < flip_rate, rng.random() < 0.5
        if swap == "major":
            is_swap = alleles.mean() > 0.5
        elif swap != 0.5:
            is_swap = bool(swap)
        pair = [other_strand(ref), other_strand(alt)] if is_flip else [ref, alt]
        calls = 1 - alleles if is_swap else alleles
        text = [f"{one}|{other}" for one, other in calls.tolist()]
        rows.append(("1", position, *(pair[::-1] if is_swap else pair), text))
    return panels.write_vcf(path, rows)


def counts(made: Simulated, out: Path, num: int = 20) -> tuple[int, int, int]:
    """Palindromic sites used, used with wrong alleles; and other sites with wrong alleles."""
    used = wrong = others = 0
    for key, alleles in alleles_of(out, typed=True).items():
        is_wrong = not np.array_equal(alleles, made.records[key][:num])
        if is_palindromic(*key[1:]):
            used += 1
            wrong += is_wrong
        else:
            others += is_wrong
    return used, wrong, others


def imputed(
    made: Simulated, folder: Path, *, strand: str = "fix", num: int = 20, **changes: object
) -> tuple[ImputeSummary, Path]:
    target = write(folder / "t.vcf", made, num=num, **changes)  # type: ignore[arg-type]
    out = folder / "o.vcf.gz"
    return run(made.workspace, target, out, strand=strand), out


def num_palindromic(made: Simulated) -> int:
    return sum(is_palindromic(*key[1:]) for key in made.records)


@pytest.mark.parametrize("swap", [0.5, "major"])
def test_palindromic_sites_are_right_if_half_of_the_file_is_on_the_other_strand(
    fx_simulated, tmp_path, swap
):
    summary, out = imputed(fx_simulated, tmp_path, flip_rate=0.5, swap=swap)
    used, wrong, others = counts(fx_simulated, out)
    assert used >= 0.9 * num_palindromic(fx_simulated) > 50
    assert wrong <= 0.01 * used
    assert others == 0
    report = summary.report["target"]["strand"]
    assert report["palindromic_as_written"] + report["palindromic_flips_repaired"] == used
    assert report["palindromic_undecided"] == num_palindromic(fx_simulated) - used
    assert report["flip_rate"] == pytest.approx(0.5, abs=0.08)
    noted = (summary.qc / "noted.tsv").read_text(encoding="utf-8")
    assert noted.count("palindromic, strand flip; repaired") == report["palindromic_flips_repaired"]


def test_one_sample_leaves_some_out_and_gets_none_wrong(fx_simulated, tmp_path):
    _, out = imputed(fx_simulated, tmp_path, flip_rate=0.3, swap=0.5, num=1)
    used, wrong, others = counts(fx_simulated, out, num=1)
    assert used > 0.3 * num_palindromic(fx_simulated)
    assert wrong <= 0.01 * used
    assert others == 0


@pytest.mark.parametrize(("flip_rate", "swap"), [(0.5, 0.0), (1.0, 0.5), (1.0, 1.0), (0.0, 0.5)])
def test_a_file_whose_alleles_show_everything_is_imputed_as_the_correct_one(
    fx_simulated, tmp_path, flip_rate, swap
):
    (tmp_path / "correct").mkdir()
    _, correct = imputed(fx_simulated, tmp_path / "correct", flip_rate=0.0)
    summary, out = imputed(fx_simulated, tmp_path, flip_rate=flip_rate, swap=swap)
    assert [str(one) for one in cyvcf2.VCF(str(out))] == [
        str(one) for one in cyvcf2.VCF(str(correct))
    ]
    assert summary.report["target"]["dropped"] == {}


def test_a_correct_file_is_not_compared_with_the_panel(fx_simulated, tmp_path):
    summary, out = imputed(fx_simulated, tmp_path, flip_rate=0.0)
    assert summary.report["target"]["strand"]["palindromic_compared_with_panel"] == 0
    assert counts(fx_simulated, out) == (num_palindromic(fx_simulated), 0, 0)
    assert not any("strand" in text for text in summary.report["warnings"])


def test_flips_are_left_out_if_asked_for(fx_simulated, tmp_path):
    summary, out = imputed(fx_simulated, tmp_path, flip_rate=0.3, swap=0.5, strand="drop")
    report = summary.report["target"]
    used, wrong, others = counts(fx_simulated, out)
    assert (wrong, others) == (0, 0)
    flipped = report["dropped"]["palindromic (A/T, C/G), strand flip"]
    assert flipped == report["strand"]["palindromic_flips_dropped"] > 10
    assert used + flipped <= num_palindromic(fx_simulated)
    assert report["strand"]["flips_repaired"] == 0
    assert report["strand"]["flips_dropped"] > 50
    dropped = (summary.qc / "dropped.tsv").read_text(encoding="utf-8").splitlines()
    positions = [int(line.split("\t")[1]) for line in dropped[1:]]
    npt.assert_array_equal(positions, np.sort(positions))
    assert len(positions) == sum(report["dropped"].values())


def test_flips_stop_the_run_if_asked_for(fx_simulated, tmp_path):
    with pytest.raises(InputError, match=r"strand flips; the first, 1:\d+, has ./., but the panel"):
        imputed(fx_simulated, tmp_path, flip_rate=0.3, swap=0.5, strand="error")
    assert not (tmp_path / "o.vcf.gz").exists()
    imputed(fx_simulated, tmp_path, flip_rate=0.0, swap=0.5, strand="error")


def test_flips_at_palindromic_sites_alone_are_found_and_can_stop_the_run(fx_simulated, tmp_path):
    rows = list(fx_simulated.records.items())
    records = []
    for number, ((position, ref, alt), alleles) in enumerate(rows):
        is_flip = is_palindromic(ref, alt) and number % 3 == 0
        pair = (alt, ref) if is_flip else (ref, alt)
        records.append(("1", position, *pair, [f"{a}|{b}" for a, b in alleles.tolist()]))
    target = panels.write_vcf(tmp_path / "t.vcf", records)
    out = tmp_path / "o.vcf.gz"
    with pytest.raises(InputError, match=r"palindromic .* on the other strand only; the first is"):
        run(fx_simulated.workspace, target, out, strand="error")
    run(fx_simulated.workspace, target, out)
    used, wrong, _ = counts(fx_simulated, out)
    assert used >= 0.9 * num_palindromic(fx_simulated)
    assert wrong == 0

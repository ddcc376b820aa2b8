"""The parts of the benchmarks of imputation that compute: statistics, curves, tables, processes."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.testing as npt
import pytest

from benchmarks.comparison import (
    accuracy,
    growth,
    processes,
    reliability,
    report,
    tables,
    tasks,
    tools,
)
from benchmarks.comparison.accuracy import Imputed, Truth
from benchmarks.comparison.processes import Measured

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def some_scores(seed: int = 1, num_sites: int = 40, num_samples: int = 30):
    """True ALT copies and imputed dosages that go with them."""
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0.05, 0.5, num_sites)[:, None]
    copies = rng.binomial(2, frequency, (num_sites, num_samples)).astype(np.int8)
    dosage = np.clip(copies + rng.normal(0, 0.4, copies.shape), 0, 2)
    members = rng.random((3, num_sites)) < 0.5
    return copies, dosage, members


def correlation(copies, dosage):
    return np.corrcoef(copies.ravel(), dosage.ravel())[0, 1] ** 2


@pytest.mark.parametrize("module", [accuracy, growth, reliability, report, tables, tasks])
def test_examples_in_the_docstrings_run(module):
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_r2_of_summed_samples_is_the_squared_correlation():
    copies, dosage, members = some_scores()
    found = accuracy.r2(accuracy.sums_of_samples(copies, dosage, members).sum(axis=0))
    wanted = [correlation(copies[one], dosage[one]) for one in members]
    npt.assert_allclose(found, wanted, rtol=1e-10)


def test_r2_is_undefined_where_a_side_does_not_vary():
    copies = np.array([[1, 1, 1], [0, 1, 2]], dtype=np.int8)
    dosage = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])
    sums = accuracy.sums_of_samples(copies, dosage, np.eye(2, dtype=bool))
    assert np.isnan(accuracy.r2(sums.sum(axis=0))).all()


def test_a_draw_of_samples_equals_r2_of_their_columns():
    copies, dosage, members = some_scores()
    found = accuracy.draw_r2(accuracy.sums_of_samples(copies, dosage, members), 5, seed=3)
    num_samples = copies.shape[1]
    rng = np.random.default_rng(3)
    times = rng.multinomial(num_samples, np.full(num_samples, 1 / num_samples), size=5)
    for draw, one_time in zip(found, times, strict=True):
        samples = np.repeat(np.arange(num_samples), one_time)
        wanted = [correlation(copies[one][:, samples], dosage[one][:, samples]) for one in members]
        npt.assert_allclose(draw, wanted, rtol=1e-10)


def test_tools_share_their_draws_so_that_equal_tools_never_differ():
    copies, dosage, members = some_scores()
    sums = accuracy.sums_of_samples(copies, dosage, members)
    npt.assert_array_equal(accuracy.draw_r2(sums, 50, 1), accuracy.draw_r2(sums.copy(), 50, 1))


def found_of(r2_of_tools: dict[str, float], peers: tuple[str, ...]) -> report.Found:
    """A task with one group of sites; the bootstrap sees the same dosages for all tools."""
    copies, dosage, _ = some_scores()
    everything = np.ones((len(report.GROUPS.names), len(copies)), dtype=bool)
    sums = accuracy.sums_of_samples(copies, dosage, everything)
    scores = {
        name: {"all": {"sites": 40, "r2": r2, "IQS_varying": 0.5, "NRC": math.nan, "F1": 0.9}}
        for name, r2 in r2_of_tools.items()
    }
    times = {name: Measured(2.0, 3.0, 100.0) for name in r2_of_tools}
    return report.Found("array", peers, {}, times, scores, dict.fromkeys(r2_of_tools, sums))


def test_each_tool_is_compared_with_the_better_peer():
    found = found_of({"Beagle": 0.9, "Minimac4": 0.8, "vcfbert": 0.95}, ("Beagle", "Minimac4"))
    peer, _, ours = report.accuracy_rows(found, num_draws=20, seed=1)
    assert ours["better peer"] == "Beagle"
    assert ours["r2 error ratio"] == pytest.approx(0.5)
    assert ours["r2 - peer"] == pytest.approx(0.05)
    assert (ours["low"], ours["high"]) == (0.0, 0.0)
    assert ours["NRC error ratio"] is None
    assert peer["low"] is None


def test_without_peers_there_is_nothing_to_compare_with():
    found = found_of({"vcfbert": 0.95}, ())
    (row,) = report.accuracy_rows(found, num_draws=20, seed=1)
    assert row["better peer"] is None
    assert row["r2 error ratio"] is None
    assert "better peer's" not in report.text(found, [row])


def test_the_report_shows_tools_side_by_side():
    found = found_of({"Beagle": 0.9, "vcfbert": 0.95}, ("Beagle",))
    text = report.text(found, report.accuracy_rows(found, num_draws=20, seed=1))
    assert "array: r2  sites  Beagle  vcfbert\nall           40  0.9000   0.9500" in text
    assert "array: NRC  sites  Beagle  vcfbert\nall            40       -        -" in text
    assert "Beagle          2.00         3.00      100" in text


def test_rows_become_a_csv_with_empty_cells_for_what_is_not_defined(tmp_path):
    path = tmp_path / "results" / "rows.csv"
    tables.write_csv(path, [{"tool": "a", "r2": 0.1234567, "low": None, "IQS_varying": math.nan}])
    assert path.read_text() == "tool,r2,low,IQS_varying\na,0.123457,,\n"


def test_no_error_of_the_peer_leaves_no_ratio():
    assert math.isnan(tables.error_ratio(0.9, 1.0))
    assert tables.better_peer({"a": math.nan, "b": 0.1}, ("a", "b")) == "b"


def test_an_added_sample_costs_the_slope_to_the_next_fewer_samples():
    rows = [
        {"tool": tool, "samples": samples, "seconds": 1 + cost * samples}
        for samples in (1, 50, 250)
        for tool, cost in (("a", 0.5), ("b", 0.25))
    ]
    slopes = [row["seconds an added sample"] for row in growth.with_slopes(rows)]
    assert slopes == [None, None, 0.5, 0.25, 0.5, 0.25]


def truth_of(alleles: list[list[list[int]]]) -> Truth:
    table = np.array(alleles, dtype=np.int8)
    keys = [("20", place, "A", "C") for place in range(len(table))]
    return Truth(keys, np.full(len(table), 0.1), table, [f"p{n}" for n in range(table.shape[1])])


def test_r2_of_a_site_is_its_squared_correlation():
    truth = truth_of([[[0, 0], [0, 1], [1, 1]], [[0, 0], [0, 1], [0, 0]], [[1, 0]] * 3])
    dosage = np.array([[0.1, 1.2, 1.4], [0.3, 0.3, 0.3], [0.1, 0.2, 0.3]])
    found = reliability.site_r2(truth, dosage)
    npt.assert_allclose(found, [correlation(np.array([0, 1, 2]), dosage[0]), 0, np.nan])


def test_a_curve_averages_within_its_bounds():
    predicted, observed = np.array([0.0, 0.1, 0.2, 0.9, 1.0]), np.array([0.0, 0, 1, 1, 1])
    found = reliability.curve(predicted, observed, np.array([0, 0.15, 0.5, 1]))
    npt.assert_allclose(found.predicted, [0.05, 0.2, 0.95])
    npt.assert_allclose(found.observed, [0, 1, 1])
    npt.assert_array_equal(found.count, [2, 1, 2])
    assert found.error == pytest.approx((2 * 0.05 + 0.8 + 2 * 0.05) / 5)


def test_deciles_of_many_equal_values_are_fewer():
    assert len(reliability.deciles(np.linspace(0, 1, 101))) == 11
    assert len(reliability.deciles(np.r_[np.zeros(75), np.linspace(0.1, 1, 25)])) == 4
    npt.assert_array_equal(reliability.deciles(np.ones(5)), [1, 2])


def test_spearman_shares_ranks_among_equal_values():
    x, y = np.array([1.0, 2, 2, 10]), np.array([1.0, 5, 3, 4])
    wanted = np.corrcoef([1, 2.5, 2.5, 4], [1, 4, 2, 3])[0, 1]
    assert reliability.spearman(x, y) == pytest.approx(wanted)
    assert reliability.spearman(x, x**3) == pytest.approx(1)


def test_certain_and_right_probabilities_are_perfectly_calibrated():
    truth = truth_of([[[0, 1], [1, 1]], [[0, 0], [0, 1]]])
    imputed = Imputed(
        dosage=truth.copies.astype(float),
        haplotypes=truth.alleles.astype(np.float32),
        dr2=np.ones(2),
        probabilities=np.eye(3, dtype=np.float32)[truth.copies],
    )
    assert reliability.alt_curve(truth, imputed).error == 0
    assert reliability.confidence_curve(truth, imputed).error == 0
    assert reliability.brier(truth, imputed) == 0


HEADER = """##fileformat=VCFv4.2
##contig=<ID=20>
##INFO=<ID=DR2,Number=A,Type=Float,Description="">
##FORMAT=<ID=GT,Number=1,Type=String,Description="">
##FORMAT=<ID=DS,Number=A,Type=Float,Description="">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="">
##FORMAT=<ID=AP1,Number=A,Type=Float,Description="">
##FORMAT=<ID=AP2,Number=A,Type=Float,Description="">
"""


def write_vcf(path: Path, samples: str, records: list[str]) -> None:
    columns = f"#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT {samples}\n"
    path.write_text(HEADER + "".join([columns, *records]).replace(" ", "\t"))


def test_hidden_sites_and_samples_are_matched_by_name(tmp_path):
    task = tasks.task_in(tmp_path)
    write_vcf(
        task.reference,
        "r1 r2",
        [f"20 {place} . A C . . . GT 0|1 0|0\n" for place in (10, 20, 30)],
    )
    write_vcf(task.target, "x y", ["20 20 . A C . . . GT 0|0 0|1\n"])
    write_vcf(task.truth, "x y", [f"20 {place} . A C . . . GT 0|0 0|1\n" for place in (10, 20, 40)])
    line = "20 {} . A C . . DR2=0.5 GT:DS:AP1:AP2:GP 0|1:0.9:0.1:0.8:0.2,0.7,0.1 0|0:0:0:0:1,0,0\n"
    imputed = tmp_path / "imputed.vcf"
    write_vcf(imputed, "y x", [line.format(place) for place in (10, 20, 30)])
    truth = accuracy.read_truth(task)
    assert truth.keys == [("20", 10, "A", "C")]
    npt.assert_allclose(truth.maf, [0.25])
    npt.assert_array_equal(truth.copies, [[0, 1]])
    found = accuracy.read_imputed(imputed, truth)
    npt.assert_allclose(found.dosage, [[0, 0.9]], rtol=1e-6)
    npt.assert_allclose(found.haplotypes, [[[0, 0], [0.1, 0.8]]], rtol=1e-6)
    npt.assert_allclose(found.dr2, [0.5])
    write_vcf(imputed, "y x", [line.format(30)])
    with pytest.raises(SystemExit, match="lacks a hidden site"):
        accuracy.read_imputed(imputed, truth)


def test_memory_is_that_of_the_process_and_not_of_the_one_who_measures(tmp_path):
    ballast = np.ones(30_000_000)
    found = processes.measure(processes.command("true"), tmp_path / "log")
    assert found.megabytes < 50 < ballast.nbytes / 1e6
    assert found.seconds > 0


def test_standard_output_goes_where_it_is_wanted(tmp_path):
    wanted = processes.command("echo", 5, stdout=tmp_path / "out")
    processes.measure(wanted, tmp_path / "log")
    assert (tmp_path / "out").read_text() == "5\n"


def test_a_command_that_fails_stops_the_benchmark_with_its_last_words(tmp_path):
    wanted = processes.command("sh", "-c", "echo no such panel >&2; exit 3")
    with pytest.raises(SystemExit, match=r"(?s)status 3 .*no such panel"):
        processes.measure(wanted, tmp_path / "log")
    with pytest.raises(SystemExit, match="status 127"):
        processes.measure(processes.command("no-such-program"), tmp_path / "log")


def test_a_missing_program_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"(?s)minimac4.*apt-get install.*conda install"):
        tools.find_or_install(tmp_path / "beagle.jar")


def test_a_task_that_cannot_be_cut_is_named(tmp_path):
    with pytest.raises(SystemExit, match="mine"):
        tasks.make(tmp_path, tmp_path / "shared", ("mine",))
    with pytest.raises(SystemExit, match="absent"):
        tasks.make(tmp_path, tmp_path / "shared", ("array",))


def test_impute_is_called_on_the_panel_of_the_task(tmp_path):
    task = tasks.task_in(tmp_path)
    programs = tools.Programs(Path("vcfbert"), run="mine")
    ours = tools.tools(("vcfbert", "copying", "trained"), programs)
    words = [tool.impute(task, task.target, tmp_path / "o.vcf.gz", 2).words for tool in ours]
    common = ("vcfbert", "impute", f"{tmp_path}/target.vcf.gz", "--out", f"{tmp_path}/o.vcf.gz")
    common = (*common, "-w", f"{tmp_path}/work", "--threads", "2")
    assert words == [
        (*common, *last, "--force") for last in ((), ("--no-network",), ("--run", "mine"))
    ]


@pytest.mark.parametrize("name", ["peers", "added_samples", "panel_growth", "calibration"])
def test_each_script_says_what_it_does(name):
    pytest.importorskip("matplotlib")
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--results" in done.stdout

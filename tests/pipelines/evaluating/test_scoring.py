"""Scoring predictions window by window: only hidden core sites count, and the scorer agrees."""

import dataclasses
import json
import subprocess
import sys

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

from tests import panels
from tests.panels import SHARED_CHR20
from tests.pipelines import evaluations
from vcfbert.domain import dosage, metrics
from vcfbert.domain import sites as site_tables
from vcfbert.domain.metrics import Groups
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION
from vcfbert.errors import StoreError
from vcfbert.pipelines.evaluating import hidden_sites, scoring, window_cores
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.progress import Silent
from vcfbert.storage.vcf import prediction_writer
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace

GROUPS = Groups(edges=(0.0, 0.1, 0.3, 0.5))


@pytest.fixture
def fx_panel(fx_workspace):
    with panel.open_panel(fx_workspace.panel) as reader:
        yield reader


@pytest.fixture
def fx_hidden(fx_panel):
    return np.random.default_rng(1).random(len(fx_panel.sites)) < 0.5


def score(reader, is_hidden, predictions, *, genotypes="haplotypes", groups=GROUPS, writer=None):
    cores = window_cores.cores(reader, is_hidden, predictions, genotypes)
    return scoring.score(
        reader, cores, window_cores.SYSTEMS, groups=groups, writer=writer, progress=Silent()
    )


def made_up(reader, is_hidden, **options):
    samples = reader.samples.in_splits(TEST)
    is_masked = hidden_sites.over_windows(is_hidden, reader.windows)
    return evaluations.noisy(reader, samples, is_masked, **options)


def values(scores):
    return {
        (system, group): np.round(dataclasses.astuple(scored), 9)
        for system, by_group in scores.items()
        for group, scored in by_group.items()
    }


def test_every_hidden_site_counts_once(fx_panel, fx_hidden):
    scores = score(fx_panel, fx_hidden, made_up(fx_panel, fx_hidden))
    assert {scored["all"].sites for scored in scores.values()} == {int(fx_hidden.sum())}


def test_windows_add_up_to_the_metrics_of_the_whole(fx_panel, fx_hidden):
    parts = list(window_cores.whole_windows(made_up(fx_panel, fx_hidden)))
    scored = score(fx_panel, fx_hidden, iter(parts))["model"]["all"]
    truth, alt = [], []
    for part in parts:
        is_core = fx_panel.windows.is_core(part.window)
        truth.append(part.labels[:, :, is_core].transpose(2, 0, 1))
        alt.append(part.alt_probability[:, :, is_core].transpose(2, 0, 1))
    truth, imputed = np.concatenate(truth)[fx_hidden], np.concatenate(alt)[fx_hidden]
    whole = dosage.from_haplotypes(imputed)
    x, y = truth.sum(axis=2).ravel(), whole.dosage.ravel()
    assert scored.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, abs=1e-9)
    copies = truth.sum(axis=2)
    iqs = metrics.site_iqs(copies, metrics.site_agreement(copies, whole.genotype_probability))
    assert scored.iqs == pytest.approx(np.nanmean(iqs), abs=1e-9)


def test_parts_of_a_window_make_no_difference(fx_panel, fx_hidden):
    whole = list(window_cores.whole_windows(made_up(fx_panel, fx_hidden)))
    parts = made_up(fx_panel, fx_hidden)
    npt.assert_equal(
        values(score(fx_panel, fx_hidden, parts)), values(score(fx_panel, fx_hidden, iter(whole)))
    )


def test_flanks_padding_and_typed_sites_do_not_count(fx_panel, fx_hidden):
    def spoil(prediction):
        window = prediction.window
        counts = np.zeros(fx_panel.length, dtype=bool)
        sites = fx_panel.windows.sites(window)
        counts[: fx_panel.windows.num_sites(window)] = fx_hidden[sites]
        counts &= fx_panel.windows.is_core(window)
        alt = np.where(counts, prediction.alt_probability, 1 - prediction.alt_probability)
        return dataclasses.replace(prediction, alt_probability=alt)

    plain = score(fx_panel, fx_hidden, made_up(fx_panel, fx_hidden))
    spoiled = score(fx_panel, fx_hidden, map(spoil, made_up(fx_panel, fx_hidden)))
    npt.assert_equal(values(spoiled), values(plain))


def test_the_frequency_baseline_is_worked_out_from_train_samples(fx_panel, fx_hidden):
    found = score(fx_panel, fx_hidden, made_up(fx_panel, fx_hidden))[scoring.MAJOR]["all"]
    frequency = site_tables.reference_frequency(fx_panel.sites, fx_panel.samples)[fx_hidden]
    copies = fx_panel.sites.alt_count[fx_hidden, TEST]
    num_haplotypes = 2 * len(fx_panel.samples.in_splits(TEST))
    right = copies[frequency > 0.5].sum()
    called = num_haplotypes * (frequency > 0.5).sum()
    assert found.recall == pytest.approx(right / copies.sum())
    assert found.precision == pytest.approx(right / called)
    assert found.mean_site_r2 == 0.0


def test_the_genotype_head_changes_dosages_and_no_calls(fx_panel, fx_hidden):
    by_haplotype = score(fx_panel, fx_hidden, made_up(fx_panel, fx_hidden))["model"]["all"]
    predictions = made_up(fx_panel, fx_hidden)
    by_head = score(fx_panel, fx_hidden, predictions, genotypes="head")["model"]["all"]
    assert by_head.f1 == by_haplotype.f1
    assert by_head.nrc == by_haplotype.nrc
    assert by_head.r2 < by_haplotype.r2  # the made-up head is at random


def test_a_prediction_that_is_no_number_is_an_error(fx_panel, fx_hidden):
    def spoil(prediction):
        alt = np.full_like(prediction.alt_probability, np.nan)
        return dataclasses.replace(prediction, alt_probability=alt)

    with pytest.raises(StoreError, match="window 0 are not finite"):
        score(fx_panel, fx_hidden, map(spoil, made_up(fx_panel, fx_hidden)))


def test_typed_sites_are_written_as_given(fx_panel, fx_hidden, tmp_path):
    path = tmp_path / "p.vcf.gz"
    samples = fx_panel.samples.in_splits(TEST)
    names = [fx_panel.samples.names[n] for n in samples]
    with prediction_writer.create_predictions(path, fx_panel.sites, names) as writer:
        score(fx_panel, fx_hidden, made_up(fx_panel, fx_hidden), writer=writer)
    found = list(cyvcf2.VCF(str(path)))
    assert [v.POS for v in found] == fx_panel.sites.position.tolist()
    alleles = panel_alleles(fx_panel, samples)
    for site in np.flatnonzero(~fx_hidden):
        npt.assert_array_equal(found[site].genotype.array()[:, :2], alleles[site])
        npt.assert_array_equal(found[site].format("DS")[:, 0], alleles[site].sum(axis=1))
        npt.assert_array_equal(found[site].format("GP").max(axis=1), 1.0)
    assert [v.INFO.get("IMP") is not None for v in found] == fx_hidden.tolist()


def panel_alleles(reader, samples):
    """(S, n, 2) alleles of some samples."""
    haplotypes = site_tables.haplotypes_of(samples)
    alleles = [
        reader.tokens(window, haplotypes)[:, reader.windows.is_core(window)]
        for window in range(len(reader.windows))
    ]
    return np.concatenate(alleles, axis=1).T.reshape(len(reader.sites), -1, 2)


def write_task(folder, reader, samples, is_hidden):
    """The three files that the scorer takes."""
    folder.mkdir()
    train = reader.samples.in_splits(TRAIN, VALIDATION)
    for name, who, where in (
        ("ref", train, np.ones_like(is_hidden)),
        ("target", samples, ~is_hidden),
        ("truth", samples, np.ones_like(is_hidden)),
    ):
        sites, gt = reader.sites, np.array(["0|0", "0|1", "1|0", "1|1"])
        alleles = panel_alleles(reader, who)
        records = [
            (
                sites.contigs[sites.contig[s]],
                int(sites.position[s]),
                sites.ref[s],
                sites.alt[s],
                gt[2 * alleles[s, :, 0] + alleles[s, :, 1]].tolist(),
            )
            for s in np.flatnonzero(where)
        ]
        names = [reader.samples.names[n] for n in who]
        panels.write_vcf(folder / f"{name}.vcf.gz", records, names)


@pytest.fixture(scope="module")
def fx_chr20(tmp_path_factory):
    """A few hundred sites of every frequency, 2,504 samples."""
    workspace = Workspace(tmp_path_factory.mktemp("chr20"))
    options = PrepareOptions(
        samples=SHARED_CHR20 / "samples.tsv", region="20:60479-110000", window_size=128, flank=16
    )
    prepare.prepare(SHARED_CHR20 / "panel.vcf.gz", workspace, options, progress=Silent())
    return workspace


@pytest.mark.shared
@pytest.mark.parametrize(
    ("genotypes", "suffix"),
    [("haplotypes", ".vcf.gz"), ("head", ".vcf.gz"), ("haplotypes", ".bcf")],
)
def test_the_independent_scorer_agrees_in_every_bin(fx_chr20, tmp_path, genotypes, suffix):
    """DESIGN names the scorer as the measure; both read the same predictions, ours from memory."""
    scorer = SHARED_CHR20.parents[1] / "peers" / "score.py"
    path = tmp_path / f"imputed{suffix}"
    with panel.open_panel(fx_chr20.panel) as reader:
        samples = reader.samples.in_splits(TEST)[::4][:60]
        is_hidden = np.random.default_rng(5).random(len(reader.sites)) < 0.7
        is_masked = hidden_sites.over_windows(is_hidden, reader.windows)
        predictions = evaluations.noisy(reader, samples, is_masked, noise=0.1, part=25)
        names = [reader.samples.names[n] for n in samples]
        with prediction_writer.create_predictions(path, reader.sites, names) as writer:
            ours = score(
                reader, is_hidden, predictions, genotypes=genotypes, groups=Groups(), writer=writer
            )["model"]
        write_task(tmp_path / "task", reader, samples, is_hidden)
    result = tmp_path / "scores.json"
    command = [sys.executable, scorer, tmp_path / "task", path, "--json", result]
    subprocess.run(command, check=True, capture_output=True)
    theirs = json.loads(result.read_text())
    assert theirs.keys() == ours.keys()
    assert len(ours) >= 8  # hardly a bin without sites
    for group, scored in ours.items():
        expected = theirs[group]
        assert scored.sites == expected["sites"]
        assert scored.varying_sites == expected["varying"]
        found = {
            "r2": scored.r2,
            "IQS_varying": scored.iqs,
            "NRC": scored.nrc,
            "F1": scored.f1,
            "genotype_F1": scored.unphased_f1,
        }
        for name, value in found.items():
            npt.assert_allclose(value, expected[name], atol=1e-4, err_msg=f"{group} {name}")

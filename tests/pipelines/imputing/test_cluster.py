"""Parts on Dask workers: the same bytes as one process, even if workers are killed."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager

import pytest

from tests import panels
from tests.pipelines import imputations
from tests.pipelines.imputations import lines, run, samples_alleles, write_target
from tests.processes import spawned_by
from tests.shown import Shown
from vcfbert.errors import ConfigError, StoreError
from vcfbert.pipelines.imputing import cluster
from vcfbert.pipelines.imputing.cluster import ClusterOptions
from vcfbert.pipelines.imputing.genome import impute_files
from vcfbert.pipelines.imputing.impute import ImputeOptions
from vcfbert.pipelines.preparing import prepare
from vcfbert.pipelines.preparing.prepare import PrepareOptions
from vcfbert.progress import Silent
from vcfbert.storage.zarr.workspace import Workspace

distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")

SHORT = {"chunk_cm": 0.1, "overlap_cm": 0.05, "no_network": True, "threads": 1}


@pytest.fixture(scope="module")
def fx_home(tmp_path_factory):
    return imputations.workspace(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def fx_target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    return write_target(folder / "t.vcf", samples_alleles(40))


@pytest.fixture(scope="module")
def fx_expected(fx_home, fx_target):
    out = fx_target.with_name("one.vcf.gz")
    run(fx_home, fx_target, out, **SHORT)
    return lines(out)


def impute(home, target, out, **place):
    with cluster.opened(ClusterOptions(**place)) as opened:
        return opened.impute(home, target, out, ImputeOptions(**SHORT), progress=Silent())


class KillsWorkers(Silent):
    """Kills a worker process after each of the first parts."""

    def __init__(self, number):
        self.left = number

    def advance(self, steps=1):
        if self.left:
            self.left -= 1
            found = spawned_by(os.getpid())
            if found:  # a worker may be just starting
                os.kill(found[-1], signal.SIGKILL)


@pytest.mark.slow
def test_two_workers_write_what_one_process_writes(fx_home, fx_target, fx_expected, tmp_path):
    out = tmp_path / "two.vcf.gz"
    impute(fx_home, fx_target, out, workers=2)
    assert lines(out) == fx_expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "two.qc", "two.vcf.gz", "two.vcf.gz.tbi",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_output_is_the_same_if_workers_are_killed(fx_home, fx_target, fx_expected, tmp_path):
    out = tmp_path / "out.vcf.gz"
    with cluster.opened(ClusterOptions(workers=2)) as opened:
        opened.impute(fx_home, fx_target, out, ImputeOptions(**SHORT), progress=KillsWorkers(3))
    assert lines(out) == fx_expected


@pytest.mark.slow
def test_an_existing_scheduler_is_used(fx_home, fx_target, fx_expected, tmp_path):
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as place:
        out = tmp_path / "out.vcf.gz"
        impute(fx_home, fx_target, out, scheduler=place.scheduler_address)
    assert lines(out) == fx_expected


@pytest.fixture(scope="module")
def fx_genome(tmp_path_factory):
    """A workspace with two contigs, and a target with both."""
    folder = tmp_path_factory.mktemp("genome")
    alleles = panels.mosaic_alleles(120, 40)
    records = [
        record
        for number, contig in enumerate(["1", "2"])
        for record in panels.records_of(alleles[60 * number :][:60], contig=contig, step=10_000)
    ]
    panel = panels.write_vcf(folder / "panel.vcf.gz", records)
    options = PrepareOptions(window_size=32, flank=2)
    prepare.prepare([panel], Workspace(folder / "w"), options, progress=Silent(), threads=1)
    typed = [(*record[:4], record[4][3:5]) for record in records[::2]]
    return Workspace(folder / "w"), panels.write_vcf(folder / "t.vcf.gz", typed, ["a", "b"])


@pytest.fixture
def fx_connections(monkeypatch):
    """What was done with connections: open or closed."""
    events, honest = [], cluster._connected

    @contextmanager
    def connected(options):
        try:
            with honest(options) as client:
                events.append("open")
                yield client
        finally:
            events.append(client.status)

    monkeypatch.setattr(cluster, "_connected", connected)
    return events


def impute_genome(genome, out, progress=None, **place):
    options = ImputeOptions(no_network=True, threads=1, min_typed=2)
    with cluster.opened(ClusterOptions(**place)) as opened:
        return impute_files(
            genome[0],
            [genome[1]],
            out,
            options,
            progress=progress or Silent(),
            impute_one=opened.impute,
        )


def test_all_contigs_of_a_genome_use_one_connection(fx_genome, fx_connections, tmp_path, caplog):
    shown = Shown()
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as place:
        summary = impute_genome(
            fx_genome, tmp_path / "o.vcf.gz", shown, scheduler=place.scheduler_address
        )
    assert summary.report["contigs"] == ["1", "2"]
    assert fx_connections == ["open", "closed"]
    assert [note.split(",")[0] for note in shown.notes if " worker," in note] == [
        "Contig 1: 1 worker", "Contig 2: 1 worker",
    ]  # fmt: skip
    warned = [one.getMessage() for one in caplog.records if one.name.startswith("vcfbert.")]
    assert len(set(warned)) == len(warned) == 2


@pytest.mark.slow
def test_processes_end_after_an_error(fx_genome, fx_connections, tmp_path, monkeypatch):
    def fail(client, plan, progress):
        raise StoreError("A part cannot be written.")

    before = spawned_by(os.getpid())
    monkeypatch.setattr(cluster, "_run_parts", fail)
    with pytest.raises(StoreError, match="cannot be written"):
        impute_genome(fx_genome, tmp_path / "o.vcf.gz", workers=1)
    assert fx_connections == ["open", "closed"]
    assert set(spawned_by(os.getpid())) <= set(before)


def test_nothing_is_started_for_an_output_that_exists(fx_genome, fx_connections, tmp_path):
    (tmp_path / "o.vcf.gz").touch()
    with pytest.raises(StoreError, match="already exists"):
        impute_genome(fx_genome, tmp_path / "o.vcf.gz", workers=1)
    assert fx_connections == []


def test_a_missing_scheduler_is_named(fx_home, fx_target, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECTION_SECONDS", 0.5)
    with pytest.raises(StoreError, match=r"no Dask scheduler at tcp:.*dask scheduler"):
        impute(fx_home, fx_target, tmp_path / "o.vcf.gz", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(StoreError, match="no Dask scheduler at nonsense"):
        impute(fx_home, fx_target, tmp_path / "o.vcf.gz", scheduler="nonsense://")
    assert list(tmp_path.iterdir()) == []


def test_a_scheduler_without_workers_is_named(fx_home, fx_target, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECTION_SECONDS", 2)
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as place:
        with pytest.raises(StoreError, match=r"at inproc:.* has no worker\. .*dask worker inproc:"):
            impute(fx_home, fx_target, tmp_path / "o.vcf.gz", scheduler=place.scheduler_address)
    assert list(tmp_path.iterdir()) == []


def test_workers_of_another_version_are_refused(fx_home, fx_target, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_version", lambda: "0.0.1")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as place:
        with pytest.raises(StoreError, match=r"has vcfbert 0\.0\.1, and this is"):
            impute(fx_home, fx_target, tmp_path / "o.vcf.gz", scheduler=place.scheduler_address)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_a_part_is_the_error_of_the_command(fx_home, fx_target, tmp_path, monkeypatch):
    def fail(plan, number):
        raise StoreError("Part 1 cannot be written. Free some space.")

    monkeypatch.setattr(cluster, "_run_part", fail)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as place:
        with pytest.raises(StoreError, match="Free some space"):
            impute(fx_home, fx_target, tmp_path / "o.vcf.gz", scheduler=place.scheduler_address)
    assert not (tmp_path / "o.vcf.gz").exists()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"workers": 0}, "--workers must be at least 1"),
        ({"workers": 1, "scheduler": "tcp://a:1"}, "cannot be combined"),
    ],
)
def test_options_that_do_not_fit_are_refused(place, message):
    with pytest.raises(ConfigError, match=message):
        ClusterOptions(**place)


def test_each_thread_of_a_worker_opens_its_own_panel():
    assert isinstance(cluster._HELD, threading.local)

"""Several processes that share each batch train as one process with the whole batch."""

import contextlib
import multiprocessing
import os
import signal
import time

import numpy as np
import numpy.testing as npt
import pytest

from tests.training.systems.shared_steps import Steps, settings_of
from vcfbert.config import LossConfig
from vcfbert.domain.sites import TRAIN
from vcfbert.errors import DeviceError, StoreError
from vcfbert.progress import Silent
from vcfbert.training.systems import masking, rank_processes
from vcfbert.training.systems.batches import BatchMaker
from vcfbert.training.systems.objective import Counted
from vcfbert.training.systems.rank_processes import Shared
from vcfbert.training.systems.schedule import Work

PLAIN = settings_of(training={"batch_size": 7, "accumulation": 1, "batches_per_epoch": 0})
"""Batches of 7 samples and one smaller one: some with fewer samples than four processes."""
RICH = settings_of(
    training={"batch_size": 5, "accumulation": 3, "batches_per_epoch": 10},
    masks={"policy": "smart_balanced"},
    model={"population": True},
    loss={
        "genotype_weight": 0.0,  # so that some weights have no gradient
        "reconstruction_weight": 0.3,
        "contrastive_weight": 0.5,
        "hard_negatives": False,
    },
)


RUNS = ((PLAIN, 50), (RICH, 8))


def shared(work, count):
    return rank_processes.run(Shared(work, ["cpu"] * count, threads=1), Silent())


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("hard", [True, False])
def test_the_parts_of_a_batch_are_the_rows_of_the_whole_batch(fx_maker, num_ranks, hard):
    loss = LossConfig(contrastive_weight=0.5, hard_negatives=hard)
    maker = BatchMaker(fx_maker.panel, fx_maker.index, fx_maker.embeddings, fx_maker.settings, loss)
    settings = settings_of(masks={"policy": "smart_balanced"})
    masks = masking.plan(settings.masks, 1, maker.panel).of_training(0, 0.3)
    work = Work(1, maker.panel.samples.in_splits(TRAIN)[:4])
    whole = masks.batch(maker, work)
    parts = [masks.batch(maker, work.part_of(rank, num_ranks)) for rank in range(num_ranks)]
    counted = [part for part in parts if part.part is None or part.part.is_counted]
    for name in ("samples", "labels", "query_tokens", "is_hidden", "neighbours", "distances"):
        joined = np.concatenate([getattr(part, name) for part in counted])
        npt.assert_array_equal(joined, getattr(whole, name))
    for name in ("positives", "negatives", "is_wrong"):
        joined = np.concatenate([getattr(part.contrast, name) for part in counted])
        npt.assert_array_equal(joined, getattr(whole.contrast, name))
    assert Counted.sum_of([Counted.in_batch(part) for part in parts]) == Counted.in_batch(whole)


@pytest.fixture(scope="module")
def fx_alone(fx_workspace):
    """Losses and validation scores of one process."""
    return Steps(fx_workspace.panel, RUNS)()


@pytest.mark.slow
@pytest.mark.parametrize("num_ranks", [2, 4])
def test_losses_of_fifty_steps_are_those_of_one_process(fx_workspace, fx_alone, num_ranks):
    together = shared(Steps(fx_workspace.panel, RUNS), num_ranks)
    for (_, count), one, several in zip(RUNS, fx_alone, together, strict=True):
        assert len(set(one)) == count + 4
        npt.assert_allclose(several, one, rtol=0, atol=1e-5)


def fail_on_the_last(together, device, progress):
    """The others wait for the last process, which fails."""
    if together.rank == together.count - 1:
        raise StoreError("the last process found this")
    together.wait()


def kill_the_last(together, device, progress):
    """The others wait for the last process, which is killed."""
    if together.rank == together.count - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    together.wait()


@pytest.mark.slow
def test_the_process_that_fails_is_the_one_that_is_reported():
    with pytest.raises(StoreError, match="the last process found this"):
        shared(fail_on_the_last, 2)
    with pytest.raises(DeviceError, match=r"\(rank 1\) was ended by signal SIGKILL.*--resume"):
        shared(kill_the_last, 2)
    assert multiprocessing.active_children() == []


def wait_forever(together, device, progress):
    progress.note(str(os.getpid()))
    time.sleep(600)


class Interrupting(Silent):
    """Interrupts the parent at the first note of rank 0."""

    pid = 0

    def note(self, message):
        self.pid = int(message)
        raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interrupted_parent_leaves_no_process():
    progress = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        rank_processes.run(Shared(wait_forever, ["cpu"] * 2, threads=1), progress)
    assert multiprocessing.active_children() == []
    with contextlib.suppress(ProcessLookupError):
        os.kill(progress.pid, 0)
        pytest.fail(f"process {progress.pid} is left")

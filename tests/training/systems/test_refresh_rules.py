"""When masks and encodings are due."""

import pytest

from vcfbert.training.systems.refresh_rules import InUse, Rule


def due_at(rule, used, moments, gain_epoch=0):
    """Which of (epoch, batch) find `used` served."""
    return [
        (epoch, batch)
        for epoch, batch in moments
        if rule.is_due(used, epoch=epoch, batch=batch, gain_epoch=gain_epoch)
    ]


MOMENTS = [(epoch, 10 * epoch + batch) for epoch in range(3) for batch in range(0, 10, 5)]


def test_epochs_count_from_the_last_refresh():
    assert due_at(Rule("epochs", 2), InUse(0, 0, 0), MOMENTS) == [(2, 20), (2, 25)]
    assert due_at(Rule("epochs", 1), InUse(3, 1, 10), MOMENTS) == [(2, 20), (2, 25)]


def test_batches_count_over_epochs():
    assert due_at(Rule("batches", 15), InUse(0, 0, 0), MOMENTS)[0] == (1, 15)
    assert due_at(Rule("batches", 15), InUse(1, 1, 15), MOMENTS) == []


@pytest.mark.parametrize("on", ["epochs", "batches", "plateau"])
def test_zero_is_never(on):
    assert due_at(Rule(on, 0), InUse(0, 0, 0), [(99, 9999)]) == []
    assert Rule(on, 0).batches_left(InUse(0, 0, 0), 5) is None


def test_a_plateau_counts_from_the_last_gain_and_from_the_last_refresh():
    rule = Rule("plateau", 2)
    ends = [(epoch, 0) for epoch in range(8)]
    assert due_at(rule, InUse(0, 0, 0), ends, gain_epoch=3)[0] == (5, 0)
    assert due_at(rule, InUse(1, 5, 0), ends, gain_epoch=3)[0] == (7, 0)


def test_only_a_rule_of_batches_stops_an_epoch():
    assert Rule("batches", 7).batches_left(InUse(0, 0, 10), 12) == 5
    assert Rule("batches", 7).batches_left(InUse(0, 0, 10), 40) == 0
    assert Rule("epochs", 7).batches_left(InUse(0, 0, 10), 12) is None

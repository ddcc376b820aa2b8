"""Entries of profiles: kept, read, made again if damaged, and pruned."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vcfbert.storage import profiles
from vcfbert.storage.profiles import Profiles


class Made:
    """Makes arrays and counts how often."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return {"a": np.arange(3, dtype=np.float32), "b": np.array(2.5)}


def entries(folder):
    return sorted(folder.glob(f"*{profiles.SUFFIX}"))


def test_an_entry_is_made_once_and_read_with_its_types(tmp_path):
    made, kept = Made(), Profiles(tmp_path / "p", ("panel",))
    for _ in range(2):
        found = kept.kept("rates", (1, None), made)
        assert found["a"].dtype == np.float32
        assert found["a"].tolist() == [0, 1, 2]
        assert float(found["b"]) == 2.5
    assert made.count == 1


@pytest.mark.parametrize(
    ("kind", "facts", "of_all"),
    [
        ("other", (1,), ("panel",)),
        ("rates", (2,), ("panel",)),
        ("rates", ("1",), ("panel",)),
        ("rates", (1,), ("another panel",)),
        ("rates", (np.array(1),), ("panel",)),
    ],
)
def test_other_facts_are_another_entry(tmp_path, kind, facts, of_all):
    made = Made()
    Profiles(tmp_path, ("panel",)).kept("rates", (1,), made)
    Profiles(tmp_path, of_all).kept(kind, facts, made)
    assert made.count == 2


@pytest.mark.parametrize("place", [0, 40, -1], ids=["digest", "body", "end"])
def test_a_damaged_entry_is_named_and_made_again(tmp_path, caplog, place):
    made, kept = Made(), Profiles(tmp_path)
    kept.kept("rates", (), made)
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert profiles.damage(path) is not None
    kept.kept("rates", (), made)
    assert made.count == 2
    assert str(path) in caplog.text
    assert profiles.damage(path) is None


def test_a_truncated_entry_is_made_again(tmp_path):
    made, kept = Made(), Profiles(tmp_path)
    kept.kept("rates", (), made)
    (path,) = entries(tmp_path)
    path.write_bytes(path.read_bytes()[:20])
    kept.kept("rates", (), made)
    assert made.count == 2


def test_nothing_is_kept_without_a_folder_that_can_be_written(tmp_path):
    made = Made()
    blocked = tmp_path / "file"
    blocked.write_text("")
    for kept in (profiles.NOTHING, Profiles(blocked / "p")):
        assert kept.kept("rates", (), made)["b"] == 2.5
    assert made.count == 2


def test_the_entries_unused_for_longest_are_deleted(tmp_path, monkeypatch):
    made, kept = Made(), Profiles(tmp_path)
    for number in range(3):
        kept.kept("rates", (number,), made)
    for age, path in enumerate(entries(tmp_path)):
        os.utime(path, ns=(age, age))
    first, *others = entries(tmp_path)
    monkeypatch.setattr(profiles, "MOST_FOLDER_BYTES", 3 * first.stat().st_size)
    kept.kept("rates", (3,), made)
    assert not first.exists()
    assert all(path.exists() for path in others)
    assert len(entries(tmp_path)) == 3
    profiles.remove(tmp_path)
    assert entries(tmp_path) == []

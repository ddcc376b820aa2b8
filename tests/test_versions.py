"""Facts about the machine, on Linux and elsewhere."""

import os
import sys

import pytest

from vcfbert import versions


def test_cores_are_those_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 7}, raising=False)
    assert versions.num_cores() == 3


@pytest.mark.parametrize(("found", "expected"), [(12, 12), (None, 1)])
def test_without_affinity_as_on_macos_cores_are_those_of_the_machine(monkeypatch, found, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: found)
    assert versions.num_cores() == versions.machine()["cores"] == expected


@pytest.mark.parametrize(("platform", "expected"), [("darwin", 5000), ("linux", 5000 * 1024)])
def test_macos_counts_the_peak_in_bytes_and_linux_in_kilobytes(monkeypatch, platform, expected):
    monkeypatch.setattr(sys, "platform", platform)
    assert versions.bytes_of_peak(5000) == expected

"""What is said of the machine: its name, its peak and what it has left."""

import os

import numpy as np
import pytest
import torch

from vcfbert import plurals
from vcfbert.training import host_memory, machine

CPU = torch.device("cpu")


def test_a_cpu_is_named_with_its_threads():
    assert machine.describe(CPU) == f"cpu, {plurals.of(torch.get_num_threads(), 'thread')}"


def test_the_peak_counts_what_was_held_and_given_back():
    machine.start_peak(CPU)
    before = machine.peak_bytes(CPU)
    held = np.ones(30_000_000)  # 240 MB, touched
    del held
    assert machine.peak_bytes(CPU) >= before + 200_000_000


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="no /proc to reset")
def test_the_peak_can_start_again():
    held = np.ones(30_000_000)
    del held
    high = machine.peak_bytes(CPU)
    machine.start_peak(CPU)
    assert machine.peak_bytes(CPU) <= high - 200_000_000


def test_what_is_free_is_some_of_the_machine():
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < machine.free_bytes(CPU) <= whole


@pytest.mark.parametrize("number", [1, 2])
def test_the_limit_of_the_control_group_counts(tmp_path, monkeypatch, number):
    files = {
        1: ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
        2: ("memory.max", "memory.current", "memory.stat"),
    }[number]
    for name, content in zip(
        files, ("50000\n", "30000\n", "anon 9\ninactive_file 4000\n"), strict=True
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path)
    assert machine.free_bytes(CPU) == 24_000


def test_a_group_without_a_limit_is_no_limit(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("30000\n")
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path)
    assert host_memory.left_of_group() is None


def test_without_proc_as_on_macos_the_peak_and_the_free_memory_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(host_memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path / "cgroup")
    machine.start_peak(CPU)
    assert machine.peak_bytes(CPU) > 10_000_000
    assert machine.free_bytes(CPU) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

"""Files are forced to the disk in the way that the system offers."""

import fcntl
import os

import pytest

from vcfbert.files import temporary


@pytest.fixture
def fx_calls(monkeypatch):
    """The requests made of the system."""
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    return calls


def test_fsync_forces_a_file_to_the_disk(fx_calls, monkeypatch, tmp_path):
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)
    temporary.sync(tmp_path)
    assert fx_calls == ["fsync"]


def test_on_macos_the_drive_is_asked_too(fx_calls, monkeypatch, tmp_path):
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, request: fx_calls.append(request))
    temporary.sync(tmp_path)
    assert fx_calls == [51]


def test_a_file_system_without_that_request_gets_fsync(fx_calls, monkeypatch, tmp_path):
    def refuse(descriptor, request):
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    temporary.sync(tmp_path)
    assert fx_calls == ["fsync"]

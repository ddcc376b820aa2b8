"""Digests of files that are asked for several times."""

from __future__ import annotations

import pytest

from vcfbert.files import digests


@pytest.fixture
def fx_hashed(monkeypatch):
    """The paths that were read."""
    found, honest = [], digests.of_file

    def of_file(path):
        found.append(path.name)
        return honest(path)

    monkeypatch.setattr(digests, "of_file", of_file)
    return found


def test_a_file_is_read_once_until_it_changes(fx_hashed, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    path = tmp_path / "a"
    path.write_text("one")
    assert [digests.of_file_once(path) for _ in range(3)] == 3 * [digests.of_bytes(b"one")]
    assert fx_hashed == ["a"]
    (tmp_path / "b").write_text("two")
    (tmp_path / "b").replace(path)
    assert digests.of_file_once(path) == digests.of_bytes(b"two")
    path.write_text("three")
    assert digests.of_file_once(path) == digests.of_bytes(b"three")


def test_a_file_that_has_just_been_written_is_read_again(fx_hashed, tmp_path):
    path = tmp_path / "a"
    for text in ("one", "two"):  # perhaps within one tick of the clock
        path.write_text(text)
        assert digests.of_file_once(path) == digests.of_bytes(text.encode())
    assert fx_hashed == ["a", "a"]

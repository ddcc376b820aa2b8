"""Whatever stands in a table, a config or a flag: it is read, or refused with a sentence."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzzing import campaign, readers
from vcfbert import config
from vcfbert.config import Config
from vcfbert.domain.sites import Region
from vcfbert.errors import ConfigError, InputError, VcfbertError
from vcfbert.files import bounded
from vcfbert.storage import map_files, site_lists, tables
from vcfbert.storage.zarr.workspace import Workspace

PURE = ("site list", "sample table", "genetic map", "segments", "region", "config TOML", "--set")
QUICK = settings(max_examples=25, deadline=None)
CELL = st.one_of(st.text(max_size=6), st.integers().map(str), st.floats().map(str))
ROWS = st.lists(st.lists(CELL, max_size=5), max_size=5)


@pytest.mark.parametrize("name", PURE)
def test_mutated_files_are_read_or_refused(fx_seeds, tmp_path, name):
    for number in range(40):
        work = tmp_path / str(number)
        work.mkdir()
        kind, text = campaign.attempt(campaign.make(name, fx_seeds.folder, 7, number, work))
        assert kind != "other", text


@pytest.fixture(scope="module")
def fx_file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tables") / "table"


@QUICK
@given(
    rows=ROWS, mark=st.sampled_from(["\t", ",", " "]), head=st.sampled_from(["", "sample\tsplit"])
)
def test_any_table_is_read_or_refused(fx_file, rows, mark, head):
    text = "\n".join([head, *(mark.join(row) for row in rows)])
    fx_file.write_text(text, encoding="utf-8", errors="surrogatepass")
    for read in (tables.read_samples, map_files.read, tables.read_segments,
                 lambda path: list(site_lists.read_list(path)), config.load):  # fmt: skip
        with suppress(VcfbertError):  # and nothing else
            read(fx_file)


@QUICK
@given(text=st.text(max_size=30))
def test_any_flag_is_read_or_refused(text):
    with suppress(VcfbertError):
        Region.parse(text, ["20", "20:5-9"], source="a file")
    with suppress(VcfbertError):
        config.assignments([text])


LISTS = {"long line": "20\t1" + "0" * 3_000_000, "many columns": "20\t" * 1_000_000}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS.keys())
def test_lines_of_tables_are_bounded(tmp_path, text):
    path = tmp_path / "list.tsv"
    path.write_text(text)
    for read in (lambda path: list(site_lists.read_list(path)), tables.read_samples,
                 tables.read_segments):  # fmt: skip
        with pytest.raises(InputError, match=r"longer than 1,048,576 characters"):
            read(path)


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "seed = " + "9" * 5000,
                                  "x = {a=" * 50_000, "seed = 1979-13-45"])  # fmt: skip
def test_toml_that_is_nested_without_end_is_refused(tmp_path, text):
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError):
        config.load(tmp_path / "config.toml")


def test_toml_of_any_length_is_refused(tmp_path):
    with (tmp_path / "config.toml").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ConfigError, match=r"larger than 1,048,576 bytes"):
        config.load(tmp_path / "config.toml")


def test_set_takes_no_number_without_end():
    with pytest.raises(ConfigError):
        config.merge(Config(), config.assignments(["seed=" + "9" * 5000]), source="--set")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a/b"])
def test_a_run_is_a_folder_of_the_workspace(tmp_path, name):
    with pytest.raises(ConfigError):
        Workspace(tmp_path).run(name)


def test_json_that_is_nested_without_end_is_refused():
    for text in ("[" * 100_000, '{"a":' * 100_000, "9" * 5000):
        with pytest.raises(ValueError, match=r".+"):
            bounded.json_of(text)


def test_mutations_repeat(fx_seeds):
    first, again = (readers.mutate(random.Random(3), b"20\t100\n", [b"x"]) for _ in range(2))
    assert first == again

"""Paths of a workspace."""

import pytest

from vcfbert.errors import ConfigError
from vcfbert.storage.zarr.workspace import Workspace


@pytest.mark.parametrize("name", ["", ".", "..", "../panel.zarr", "/tmp", "a/b", "a/"])
def test_a_runs_name_never_leads_out_of_the_folder_of_runs(tmp_path, name):
    with pytest.raises(ConfigError, match="has no slashes"):
        Workspace(tmp_path).run(name)


def test_a_run_is_a_folder_below_runs(tmp_path):
    assert Workspace(tmp_path).run("v18-large.2") == tmp_path / "runs" / "v18-large.2"

"""Every case of the table ends as it says: code, explanation, and nothing half-written."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.bad_input import case as cases
from tests.bad_input import home
from tests.bad_input.table import CASES


@pytest.fixture(scope="session")
def fx_home(tmp_path_factory):
    """A whole workspace, to be copied."""
    return home.make(tmp_path_factory.mktemp("home"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # cyvcf2's own
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_a_case_ends_as_the_table_says(case, fx_home, tmp_path):
    assert cases.complaints(case, tmp_path, fx_home) == []


def test_cases_have_names_of_their_own():
    assert [
        name for name, times in Counter(case.label for case in CASES).items() if times > 1
    ] == []

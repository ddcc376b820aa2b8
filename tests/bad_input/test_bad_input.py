"""Every case of the table has its exit code and message, and leaves no unfinished file."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.bad_input import case as cases
from tests.bad_input import home
from tests.bad_input.table import CASES


@pytest.fixture(scope="session")
def fx_home(tmp_path_factory):
    """A complete workspace to copy."""
    return home.make(tmp_path_factory.mktemp("home"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # cyvcf2's own
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_a_case_ends_as_the_table_says(case, fx_home, tmp_path):
    assert cases.complaints(case, tmp_path, fx_home) == []


def test_labels_of_cases_are_unique():
    times = Counter(case.label for case in CASES)
    assert [label for label in times if times[label] > 1] == []

"""Agreement features against a slow, obvious version."""

import numpy as np
import numpy.testing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfbert.model import agreement
from vcfbert.model.embedding import SiteFeatures


def slow_features(query, neighbour, cm):
    """The docstring of `agreement_features`, site by site."""
    length = len(query)
    mismatches = [i for i in range(length) if query[i] < 2 and neighbour[i] != query[i]]
    out = []
    for site in range(length):
        before = [-1, -1, *[m for m in mismatches if m <= site]]
        after = [*[m for m in mismatches if m >= site], length, length]
        seen = [i for i in range(length) if query[i] < 2]

        def between(low, high, seen=seen):
            return sum(low < i < high for i in seen)

        left, second_left = before[-1], before[-2]
        right, second_right = after[0], after[1]
        values = [
            between(left, site + 1),
            between(site - 1, right),
            1000 * (cm[site] - cm[max(left, 0)]),
            1000 * (cm[min(right, length - 1)] - cm[site]),
            between(second_left, site + 1),
            between(site - 1, second_right),
            len(mismatches),
            *(sum(abs(m - site) <= r for m in mismatches) for r in agreement.BOX_RADII),
        ]
        out.append(np.log1p(np.maximum(values, 0)))
    return np.array(out)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), length=st.integers(1, 40))
def test_the_features_are_what_their_docstring_says(data, length):
    query = data.draw(st.lists(st.integers(0, 3), min_size=length, max_size=length))
    neighbour = data.draw(st.lists(st.integers(0, 1), min_size=length, max_size=length))
    cm = np.cumsum(np.linspace(0, 0.01, length)).astype(np.float32)
    made = agreement.agreement_features(
        torch.tensor([query]), torch.tensor([[neighbour]]), _features(torch.from_numpy(cm))
    )
    npt.assert_allclose(made[0, 0].numpy(), slow_features(query, neighbour, cm), atol=1e-4)


@pytest.mark.parametrize("hidden", [0, 3, 6])
def test_a_neighbours_allele_at_a_hidden_site_is_no_agreement(hidden):
    query = torch.tensor([[0, 1, 0, 1, 0, 1, 0]])
    query[0, hidden] = 2
    one, other = torch.zeros(1, 1, 7, dtype=torch.long), torch.zeros(1, 1, 7, dtype=torch.long)
    other[..., hidden] = 1
    features = _features(torch.linspace(0, 0.1, 7))
    npt.assert_array_equal(
        agreement.agreement_features(query, one, features),
        agreement.agreement_features(query, other, features),
    )


def _features(cm: torch.Tensor) -> SiteFeatures:
    zeros = torch.zeros(len(cm))
    return SiteFeatures(zeros, zeros, cm, zeros.long(), zeros == 0, True, zeros[:, None][:, :0])

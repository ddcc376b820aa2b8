"""Rendered text against Python's own formatting."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vcfbert.domain import dosage
from vcfbert.domain.dosage import Imputed
from vcfbert.storage.vcf import rendering
from vcfbert.storage.vcf.output_header import FIELDS, MAX_DECIMALS, CellLayout

SUBSETS = [s for size in (1, 2, 3, 4) for s in itertools.permutations(FIELDS, size)]

probabilities = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, 0.25, 1e-6, 5e-7, 0.0000015, 0.999999, 0.9999995]),
    st.floats(0, 1, width=32),
)


def number(value, decimals):
    text = f"{float(value):.{decimals}f}"
    return text.rstrip("0").rstrip(".")


def cell(imputed, row, n, layout):
    values = {
        "DS": [imputed.dosage[row, n]],
        "HDS": imputed.alt_probability[row, n],
        "GP": imputed.genotype_probability[row, n],
    }
    texts = {
        name: ",".join(number(value, layout.decimals) for value in numbers)
        for name, numbers in values.items()
    }
    texts["GT"] = "|".join(map(str, imputed.calls[row, n]))
    return ":".join(texts[field] for field in layout.fields)


def slowly(heads, imputed, layout):
    samples = range(imputed.dosage.shape[1])
    return b"".join(
        head + "\t".join(cell(imputed, row, n, layout) for n in samples).encode() + b"\n"
        for row, head in enumerate(heads)
    )


@st.composite
def predictions(draw):
    """Arrays that need not fit one another."""
    shape = draw(npst.array_shapes(min_dims=2, max_dims=2, max_side=4))
    array = lambda *more: draw(  # noqa: E731
        npst.arrays(np.float32, shape + more, elements=probabilities)
    )
    calls = draw(npst.arrays(np.uint8, (*shape, 2), elements=st.integers(0, 1)))
    return Imputed(array(2), calls, 2 * array(), array(3))


@given(
    imputed=predictions(),
    fields=st.sampled_from(SUBSETS),
    decimals=st.integers(1, MAX_DECIMALS),
    head=st.sampled_from([b"", b"20\t1\t.\tA\tC\t", b"x" * 5000]),
)
def test_lines_are_those_of_plain_python(imputed, fields, decimals, head):
    layout = CellLayout(fields, decimals)
    heads = [head] * len(imputed.calls)
    assert rendering.render(heads, imputed, layout) == slowly(heads, imputed, layout)


@given(st.floats(0, 2, width=32), st.integers(1, MAX_DECIMALS))
@example(np.float32(0.0000005), 6)
@example(np.float32(1.9999999), 6)
@example(0.125, 2)  # a tie goes to the even digit
@example(0.375, 2)
def test_a_number_reads_as_python_rounds_it(value, decimals):
    imputed = Imputed(
        np.zeros((1, 1, 2), np.float32),
        np.zeros((1, 1, 2), np.uint8),
        np.full((1, 1), value, np.float32),
        np.zeros((1, 1, 3), np.float32),
    )
    text = rendering.render([b""], imputed, CellLayout(("DS",), decimals)).decode()
    assert text == number(value, decimals) + "\n"
    assert float(text) == round(float(np.float32(value)), decimals)


@pytest.mark.parametrize("fields", SUBSETS)
def test_certain_cells_are_bare_digits(fields):
    alleles = np.array([[[0, 0], [0, 1], [1, 0], [1, 1]]], dtype=np.uint8)
    text = rendering.render([b""], dosage.from_alleles(alleles), CellLayout(fields, 6)).decode()
    expected = {
        "GT": ["0|0", "0|1", "1|0", "1|1"],
        "DS": ["0", "1", "1", "2"],
        "HDS": ["0,0", "0,1", "1,0", "1,1"],
        "GP": ["1,0,0", "0,1,0", "0,1,0", "0,0,1"],
    }
    cells = zip(*(expected[field] for field in fields), strict=True)
    assert text == "\t".join(map(":".join, cells)) + "\n"


def test_rounding_beyond_the_ends_is_written_as_the_ends():
    imputed = Imputed(
        np.array([[[-1e-5, 1.00001]]], np.float32),
        np.array([[[0, 1]]], np.uint8),
        np.array([[2.00001]], np.float32),
        np.array([[[-1e-5, 1, 0]]], np.float32),
    )
    layout = CellLayout(("DS", "GP"), 6)
    assert rendering.render([b""], imputed, layout) == b"2:0,1,0\n"


def test_the_widest_cells_fit():
    """Every number as long as can be, at the end of the buffer."""
    for decimals in range(1, MAX_DECIMALS + 1):
        imputed = dosage.from_haplotypes(np.full((3, 5, 2), 0.3456789, np.float32))
        layout = CellLayout(FIELDS, decimals)
        assert rendering.render([b""] * 3, imputed, layout) == slowly([b""] * 3, imputed, layout)


def test_any_memory_layout_is_read():
    values = np.random.default_rng(0).random((2, 6, 4)).astype(np.float32).transpose(2, 1, 0)
    values.flags.writeable = False
    imputed = dosage.from_haplotypes(values)
    layout = CellLayout(FIELDS, 3)
    heads = [b"head\t"] * 4
    assert rendering.render(heads, imputed, layout) == slowly(heads, imputed, layout)


def test_where_nothing_can_be_cached_the_kernel_still_compiles():
    """Containers are often mounted read-only, without a home."""
    nowhere = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "IPythonCacheLocator"}
    command = [sys.executable, "-c", "import vcfbert.storage.vcf.rendering"]
    subprocess.run(command, check=True, env=nowhere)


def test_those_who_do_not_write_do_not_wait_for_numba():
    code = "import sys, vcfbert.storage.vcf.prediction_writer; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@given(
    alt=npst.arrays(np.float32, (2, 3, 2), elements=probabilities),
    fields=st.sampled_from(SUBSETS),
    is_haploid=npst.arrays(np.bool_, 3),
)
def test_a_haploid_cell_has_one_allele_and_two_genotypes(alt, fields, is_haploid):
    alt[:, is_haploid, 1] = 0
    imputed, layout = dosage.from_haplotypes(alt), CellLayout.of(fields, 3)
    text = rendering.render([b"a\t", b"b\t"], imputed, layout, is_haploid).decode()
    whole = slowly([b"a\t", b"b\t"], imputed, layout).decode()
    for row, (found, diploid) in enumerate(zip(text.splitlines(), whole.splitlines(), strict=True)):
        for n, (one, two) in enumerate(
            zip(found.split("\t")[1:], diploid.split("\t")[1:], strict=True)
        ):
            parts = dict(zip(layout.fields, two.split(":"), strict=True))
            if is_haploid[n]:
                parts |= {"GT": str(imputed.calls[row, n, 0])} if "GT" in parts else {}
                parts |= {"HDS": parts["HDS"].split(",")[0]} if "HDS" in parts else {}
                parts |= {"GP": parts["GP"].rpartition(",")[0]} if "GP" in parts else {}
            assert one == ":".join(parts[field] for field in layout.fields)

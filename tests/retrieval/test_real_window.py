"""The exact kind against IndexFlatL2 over flattened masked embeddings, on real haplotypes."""

import faiss
import numpy as np
import numpy.testing as npt
import pytest

from tests.panels import SHARED_CHR20
from tests.retrieval import windows
from vcfbert.domain import sites, tokens
from vcfbert.pipelines.preparing.prepare import PrepareOptions, prepare
from vcfbert.progress import Silent
from vcfbert.retrieval import exact
from vcfbert.retrieval.candidates import nearest
from vcfbert.storage.zarr.panel import open_panel
from vcfbert.storage.zarr.workspace import Workspace

LENGTH, WIDTH, REFERENCES, QUERIES, K = 1030, 4, 600, 24, 16


@pytest.fixture(scope="module")
def fx_real_alleles(tmp_path_factory) -> np.ndarray:
    """Alleles (H, L) of train haplotypes in the first window of the real panel."""
    workspace = Workspace(tmp_path_factory.mktemp("chr20"))
    options = PrepareOptions(
        samples=SHARED_CHR20 / "samples.tsv", region="20:60000-200000", window_size=LENGTH
    )
    prepare(SHARED_CHR20 / "panel.vcf.gz", workspace, options, progress=Silent())
    with open_panel(workspace.panel) as panel:
        return panel.tokens(0, panel.samples.haplotypes(sites.TRAIN)[: REFERENCES + QUERIES])


@pytest.mark.shared
def test_one_index_of_bits_finds_what_dense_indexes_find_under_three_masks(fx_real_alleles):
    alleles, queries = fx_real_alleles[:REFERENCES], fx_real_alleles[REFERENCES:]
    index = exact.ExactIndex(exact.build(tokens.pack(alleles)), LENGTH)
    for number, rate in enumerate((0.3, 0.5, 0.8)):
        rng = np.random.default_rng(number)
        is_masked = rng.random(LENGTH) < rate
        codebook = rng.standard_normal((tokens.VOCABULARY_SIZE, LENGTH, WIDTH)).astype("f4")
        window = windows.Window(alleles, codebook)
        query = window.query(tokens.hide(queries, is_masked))
        hits = nearest(index, query, K)
        dense = faiss.IndexFlatL2(LENGTH * WIDTH)
        dense.add(window.masked_references(is_masked).reshape(REFERENCES, -1))
        distances, rows = dense.search(query.masked_embeddings.reshape(QUERIES, -1), K)
        # IndexFlatL2 rounds by the norms, about 8000 here, and orders ties by its rounding.
        npt.assert_allclose(hits.distances, distances, rtol=1e-3, atol=0.05)
        theirs = np.sort(index.search(query).distances(rows), axis=1)
        npt.assert_allclose(theirs, hits.distances, rtol=1e-5)

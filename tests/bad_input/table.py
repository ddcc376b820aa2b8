"""All cases, family by family."""

from __future__ import annotations

from tests.bad_input import (
    allele_codes,
    alleles,
    amounts,
    batches,
    contigs,
    encodings,
    files,
    filling,
    forms,
    genotypes,
    models,
    order,
    parts,
    phasing,
    samples,
    settings,
    strand,
    tables,
    versions,
)
from tests.bad_input.case import Case

CASES: list[Case] = [
    *files.CASES,
    *forms.CASES,
    *genotypes.CASES,
    *phasing.CASES,
    *alleles.CASES,
    *allele_codes.CASES,
    *order.CASES,
    *strand.CASES,
    *amounts.CASES,
    *samples.CASES,
    *encodings.CASES,
    *tables.CASES,
    *settings.CASES,
    *models.CASES,
    *versions.CASES,
    *batches.CASES,
    *parts.CASES,
    *contigs.CASES,
    *filling.CASES,
]

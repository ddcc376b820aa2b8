"""Exact nearest reference haplotypes, one FAISS index per window."""

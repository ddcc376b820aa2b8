"""Exact nearest reference haplotypes, one FAISS index a window."""

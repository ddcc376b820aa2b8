"""Nearest reference haplotypes, one FAISS index per window."""

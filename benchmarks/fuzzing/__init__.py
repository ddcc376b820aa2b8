"""Mutated inputs for every reader of vcfbert, and what becomes of them."""

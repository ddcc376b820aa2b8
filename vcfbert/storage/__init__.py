"""Stores on disk: panels, masks, embeddings, VCF in and out."""

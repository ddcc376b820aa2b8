"""vcfbert: genotype imputation by a retrieval-augmented BERT on phased haplotype windows."""

__version__ = "0.1.0"

"""Li-Stephens copying over retrieved haplotypes."""

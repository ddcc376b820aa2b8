"""Order of the alleles at heterozygotes, from a phased panel."""

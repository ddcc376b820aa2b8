"""Research code outside the installed package: the making of the shipped network."""

"""Pure functions of NumPy arrays: no files, no torch."""

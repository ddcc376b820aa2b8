"""Forked commands, kills at exact places and digests of outputs, for `crashes.py`."""

"""Room for many open files: htslib keeps each BCF open while it is read."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path

from vcfbert import plurals
from vcfbert.errors import InputError

_OTHERS = 100  # libraries, output, index, standard streams


def make_room(num_files: int, paths: Sequence[Path]) -> None:
    """Raise the limit of open files of this process if it is too low for so many.

    Raises InputError if the system does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = num_files + _OTHERS
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise InputError(
            f"{num_files:,} of {plurals.of(len(paths), 'file')} "
            f"{plurals.word(num_files, 'is', 'are')} BCF, and this system allows a process "
            f"{hard:,} open files. Convert them to .vcf.gz, of which any number can be merged "
            "(bcftools view -Oz), or merge a few at a time and then the results."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

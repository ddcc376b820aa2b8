"""Numbers with their nouns in messages: `1 contig`, `2 contigs`."""

from __future__ import annotations


def of(number: int, one: str, many: str | None = None) -> str:
    """A number and what is counted, or a whole phrase whose verb follows the number.

    many  after other numbers than 1; None is `one` with an s

    >>> of(1, "contig"), of(2000, "contig"), of(0, "entry", "entries")
    ('1 contig', '2,000 contigs', '0 entries')
    """
    return f"{number:,} {word(number, one, f'{one}s' if many is None else many)}"


def word(number: int, one: str, many: str) -> str:
    """The form of a word that fits a number.

    >>> word(1, "is", "are"), word(2, "is", "are")
    ('is', 'are')
    """
    return one if number == 1 else many

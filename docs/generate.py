"""Writes what docs/ repeats of the code: cli.md, stores.md and the table in systems.md.

    python docs/generate.py    (or: just docs)

A test fails while a page differs from what this would write.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer.testing

from vcfbert.config import presets
from vcfbert.storage.zarr import schema
from vcfbert_cli.main import app

DOCS = Path(__file__).parent
COLUMNS = 100
NOTE = "<!-- Written by docs/generate.py; change the code it reads, then run: just docs -->"

TABLE_BEGINS = "<!-- This table is written by docs/generate.py: run just docs -->"
TABLE_ENDS = "<!-- End of the table -->"


def cli_page() -> str:
    """Every command's help, as the terminal shows it."""
    parts = [
        "# Commands",
        NOTE,
        "Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a mistake that "
        "is explained, 2 wrong usage, 130 interrupted.",
        _help([]),
    ]
    for command in app.registered_commands:
        assert command.name is not None
        parts += [f"## vcfbert {command.name}", _help([command.name])]
    return "\n\n".join(parts) + "\n"


def stores_page() -> str:
    """Every stored array, by kind of store."""
    parts = [
        "# Stores",
        NOTE,
        "Zarr 3 groups with the attributes `vcfbert_kind`, `format_version`, `fingerprint` and "
        "`parents`. Letters as in the [glossary](glossary.md). An array of type text is UTF-8, one "
        "value per line. The panel of a workspace is the folder `panel.zarr` with a store for each "
        "contig, such as `panel.zarr/20.zarr`.",
    ]
    for kind, version in schema.FORMAT_VERSION.items():
        parts += [
            f"## {kind}, format version {version}",
            f"Made by `vcfbert {schema.MADE_BY[kind]}`.",
            _table(
                ("array", "type", "dimensions", "meaning"),
                [
                    (f"`{spec.name}`", spec.dtype, spec.dims, spec.meaning)
                    for spec in schema.arrays_of(kind)
                ],
            ),
        ]
    return "\n\n".join(parts) + "\n"


def systems_page() -> str:
    """The page as it is, its table of presets written anew."""
    page = (DOCS / "systems.md").read_text(encoding="utf-8")
    before, rest = page.split(TABLE_BEGINS)
    _, after = rest.split(TABLE_ENDS)
    return f"{before}{TABLE_BEGINS}\n\n{_presets_table()}\n\n{TABLE_ENDS}{after}"


def _presets_table() -> str:
    """The presets side by side."""
    rows = []
    for name in presets.PRESETS:
        settings = presets.get(name)
        model, retrieval, training = settings.model, settings.retrieval, settings.training
        numbers: tuple[str, ...] = (
            retrieval.space,
            model.retrieved,
            str(retrieval.num_neighbours),
            str(model.width),
            str(model.num_layers),
            str(model.num_heads),
            f"{training.batch_size} x {training.accumulation}",
        )
        if settings.system == "mosaic":  # its settings are those of the section [mosaic]
            numbers = ("",) * len(numbers)
        rows.append((f"`{name}`", *numbers, (presets.PRESETS[name].__doc__ or "").strip()))
    head = ("preset", "retrieval space", "retrieved", "K", "D", "layers", "heads")
    return _table((*head, "batch x accumulation", "for"), rows)


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "stores.md": stores_page,
    "systems.md": systems_page,
}


def _help(arguments: list[str]) -> str:
    runner = typer.testing.CliRunner(env={"VCFBERT_WORKSPACE": ""})
    shown = runner.invoke(app, [*arguments, "--help"], prog_name="vcfbert", terminal_width=COLUMNS)
    assert shown.exit_code == 0, shown.output
    lines = [line.rstrip() for line in shown.stdout.strip().splitlines()]
    return "\n".join(["```text", *lines, "```"])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    ruled = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in ruled)


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")

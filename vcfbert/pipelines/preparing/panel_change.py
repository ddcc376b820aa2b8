"""How finished stores of contigs get into the panel of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcfbert.domain import contig_order
from vcfbert.errors import InputError
from vcfbert.files import replacing
from vcfbert.pipelines.preparing.prepare_file import PreparedFile
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace


class PanelChange:
    """Puts the stores of one file after another in place, those of the last with `finish`.

    The caller is the only writer of the panel.
    """

    def __init__(self, folder: Path, workspace: Workspace, *, is_whole: bool) -> None:
        """Nothing is changed yet.

        folder    temporary, on the disk of the workspace
        is_whole  the new stores replace everything that is there, at once in `finish`
        """
        self.staged = Workspace(folder)
        self.added: list[str] = []
        self._folder = folder
        self._workspace = workspace
        self._is_whole = is_whole
        self._homes: dict[str, Path] = {}
        self._pending: list[str] = []

    def new_folder(self, name: str) -> Path:
        """An empty folder for files that are not finished."""
        folder = self._folder / name
        folder.mkdir()
        return folder

    def add(self, made: PreparedFile, *, is_last: bool) -> None:
        """Put the stores of a file in place, unless it is the last or all are replaced at the end.

        Raises InputError if an earlier file had one of its contigs.
        """
        for contig in made.contigs:
            if contig in self._homes:
                raise InputError(
                    f"{self._homes[contig]} and {made.source} both have records of contig "
                    f"{contig}. Give each contig once; files of parts of a contig are joined with: "
                    "bcftools concat"
                )
        self._place.mkdir(exist_ok=True)
        for contig in made.contigs:
            name = panel.store_name(contig)
            (made.folder / name).rename(self._place / name)
        self._pending += made.contigs
        self._homes |= dict.fromkeys(made.contigs, made.source)
        self.added = contig_order.in_order(self._homes)
        if not is_last and not self._is_whole:
            replacing.put_all(self._folder, self._names(), self._workspace.root)
            self._pending = []

    def stores(self) -> dict[str, Path]:
        """The store of each contig after the change, in the order of the genome."""
        there = {} if self._is_whole else panel.contig_stores(self._workspace.panel)
        new = {contig: self._place / panel.store_name(contig) for contig in self._pending}
        found = there | new
        return {contig: found[contig] for contig in contig_order.in_order(found)}

    def finish(self, others: Sequence[Path]) -> None:
        """Put other files of the temporary folder in place, and then the last stores."""
        names = [str(path.relative_to(self._folder)) for path in others]
        # The panel last: if it is there, everything else is.
        replacing.put_all(self._folder, [*names, *self._names()], self._workspace.root)
        self._pending = []

    @property
    def _place(self) -> Path:
        return self._folder / "panel.zarr"

    def _names(self) -> list[str]:
        """What to put in place: the folder of the panel, or single stores in it."""
        if not self._pending:
            return []
        if self._is_whole or not self._workspace.panel.exists():
            return [self._place.name]
        return [f"{self._place.name}/{panel.store_name(contig)}" for contig in self._pending]

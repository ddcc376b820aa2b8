"""Targets with another name for X than the panel: that of PLINK or RefSeq, or two names."""

from __future__ import annotations

import gzip
import re

import cyvcf2
import numpy as np
import numpy.testing as npt
import pytest

import vcfbert
from tests.pipelines import imputations
from vcfbert.domain.contig_names import find_in_panel
from vcfbert.errors import InputError
from vcfbert.storage.zarr.workspace import Workspace


@pytest.fixture(scope="module")
def fx_room(tmp_path_factory):
    """A workspace of a simulated X, its target as text, and the first position after the PAR."""
    room = tmp_path_factory.mktemp("x")
    vcfbert.simulate(room, num_samples=60, length=400_000, chromosome="X")
    vcfbert.prepare(room / "panel.vcf.gz", workspace=room / "work")
    with gzip.open(room / "target.vcf.gz", "rt") as file:
        text = file.read()
    males = [line.split("\t") for line in text.splitlines() if line[0] != "#"]
    border = next(int(line[1]) for line in males if any(len(cell) == 1 for cell in line[9:]))
    imputations.run(Workspace(room / "work"), room / "target.vcf.gz", room / "o.vcf.gz")
    return room, text, border


def renamed(text, name, *, par=None, border=0):
    """Other names for X and its PAR; the records of the PAR come last, as in files of PLINK."""
    head, _, body = text.partition("#CHROM")
    columns, _, body = body.partition("\n")
    length = re.search(r"##contig=<ID=X(.*)>\n", head)
    lines = [line.split("\t", 2) for line in body.splitlines(keepends=True)]
    is_par = [par is not None and int(line[1]) < border for line in lines]
    rest = ["\t".join((name, *line[1:])) for line, here in zip(lines, is_par, strict=True)
            if not here]  # fmt: skip
    first = ["\t".join((str(par), *line[1:])) for line, here in zip(lines, is_par, strict=True)
             if here]  # fmt: skip
    names = [name] if par is None else [name, par]
    declared = "".join(f"##contig=<ID={one}{length[1]}>\n" for one in names)
    head = head.replace(length[0], declared)
    return f"{head}#CHROM{columns}\n{''.join(rest + first)}"


def records(path):
    """Position to line without contig, in the order of positions."""
    return {line[1]: line[1:] for line in sorted(imputations.lines(path), key=lambda x: int(x[1]))}


@pytest.mark.parametrize("name", ["23", "chr23", "chrX", "NC_000023.11"])
def test_another_name_of_x_gives_the_same_output(fx_room, name, tmp_path, caplog):
    room, text, _ = fx_room
    (tmp_path / "t.vcf").write_text(renamed(text, name))
    summary = imputations.run(Workspace(room / "work"), tmp_path / "t.vcf", tmp_path / "o.vcf.gz")
    assert imputations.lines(tmp_path / "o.vcf.gz") == imputations.lines(room / "o.vcf.gz")
    assert summary.report["target"]["contigs"] == {name: "X"}
    is_said = f"Contig {name} of the target is X in the panel." in caplog.text
    assert is_said == (name != "chrX")


@pytest.mark.parametrize(("name", "par"), [("23", "25"), ("X", "XY"), ("chrX", "PAR1")])
def test_a_contig_of_the_par_is_part_of_x(fx_room, name, par, tmp_path, caplog):
    room, text, border = fx_room
    (tmp_path / "t.vcf").write_text(renamed(text, name, par=par, border=border))
    home = Workspace(room / "work")
    imputations.run(home, tmp_path / "t.vcf", tmp_path / "o.vcf.gz")
    assert imputations.lines(tmp_path / "o.vcf.gz") == imputations.lines(room / "o.vcf.gz")
    assert f"Contig {par} of the target is X in the panel." in caplog.text
    region = f"23:{border - 30_000}-{border + 30_000}"
    imputations.run(home, tmp_path / "t.vcf", tmp_path / "r.vcf.gz", region=region)
    whole = [line for line in imputations.lines(room / "o.vcf.gz")
             if abs(int(line[1]) - border) <= 30_000]  # fmt: skip
    part = imputations.lines(tmp_path / "r.vcf.gz")
    assert [line[:5] + line[9:] for line in part] == [line[:5] + line[9:] for line in whole]


def test_phase_keeps_the_names_and_the_order_of_the_file(fx_room, tmp_path):
    room, text, border = fx_room
    loose = re.sub(r"\b1\|0\b|\b0\|1\b", "0/1", text)
    (tmp_path / "x.vcf").write_text(loose)
    (tmp_path / "t.vcf").write_text(renamed(loose, "23", par="25", border=border))
    for name in ("x", "t"):
        vcfbert.phase(
            tmp_path / f"{name}.vcf", tmp_path / f"{name}.vcf.gz", workspace=room / "work"
        )
    found = imputations.lines(tmp_path / "t.vcf.gz")
    given = [line.split("\t", 2)[:2] for line in (tmp_path / "t.vcf").read_text().splitlines()
             if line[0] != "#"]  # fmt: skip
    assert [line[:2] for line in found] == given
    assert records(tmp_path / "t.vcf.gz") == records(tmp_path / "x.vcf.gz")
    region = f"X:{border - 30_000}-{border + 30_000}"
    vcfbert.phase(tmp_path / "t.vcf", tmp_path / "r.vcf.gz", workspace=room / "work", region=region)
    near = {position for position in records(tmp_path / "x.vcf.gz")
            if abs(int(position) - border) <= 30_000}  # fmt: skip
    assert records(tmp_path / "r.vcf.gz").keys() == near


def test_prepare_takes_a_region_by_another_name(fx_room, tmp_path, caplog):
    room, _, border = fx_room
    vcfbert.prepare(
        room / "panel.vcf.gz", workspace=tmp_path / "w", region=f"chr23:{border}-400000"
    )
    assert f"The region chr23:{border}-400000 is on contig X." in caplog.text
    with pytest.raises(InputError, match="no contig 24"):
        vcfbert.prepare(room / "panel.vcf.gz", workspace=tmp_path / "w2", region="24:1-400000")


def test_cattle_have_a_chromosome_23_and_an_x(fx_room, tmp_path):
    """Contig 23 is not X, even if its positions are those of the panel's X."""
    room, text, _ = fx_room
    body = [line for line in text.splitlines(keepends=True) if line[0] != "#"]
    head = text[: text.index("#CHROM")] + "##contig=<ID=23>\n"
    columns = text[text.index("#CHROM") :].partition("\n")[0] + "\n"
    others = [line.replace("X\t", "23\t", 1) for line in body[::2]]
    (tmp_path / "t.vcf").write_text(head + columns + "".join(others + body))
    summary = imputations.run(
        Workspace(room / "work"), tmp_path / "t.vcf", tmp_path / "o.vcf.gz", all_typed_sites=True
    )
    assert imputations.lines(tmp_path / "o.vcf.gz") == imputations.lines(room / "o.vcf.gz")
    assert summary.report["target"]["contigs"] == {"X": "X"}
    assert summary.report["target"]["only_in_target"] == len(others)
    assert find_in_panel("23", ["1", "23", "29"], ["X"]) is None


def test_mitochondria_are_haploid_and_heteroplasmy_is_missing(tmp_path):
    """PLINK's 26 is MT; a panel of haploid samples is like that of a haploid organism."""
    from tests import panels

    alleles = panels.mosaic_alleles(60, 80)
    made = [("MT", 100 * (row + 1), "A", "G", list(map(str, line)))
            for row, line in enumerate(alleles.tolist())]  # fmt: skip
    panel = panels.write_vcf(tmp_path / "p.vcf.gz", made)
    vcfbert.prepare(panel, workspace=tmp_path / "work", window_size=62, flank=2)
    rows = alleles[::3, :3].astype(str).tolist()
    rows[4][1] = "0/1"
    target = panels.write_vcf(
        tmp_path / "t.vcf",
        [("26", 300 * row + 100, "A", "G", cells) for row, cells in enumerate(rows)],
        ["a", "b", "c"],
    )
    imputations.run(Workspace(tmp_path / "work"), target, tmp_path / "o.vcf.gz")
    found = np.array([one.genotype.array() for one in cyvcf2.VCF(str(tmp_path / "o.vcf.gz"))])
    assert found.shape[2] == 2  # one allele, and the phase
    npt.assert_array_equal(found[::3, [0, 2], 0], alleles[::3, [0, 2]])

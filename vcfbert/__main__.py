"""`python -m vcfbert`: the command `vcfbert`, for launchers such as torchrun."""

from vcfbert_cli.main import run  # type: ignore[import-untyped, import-not-found, unused-ignore]

if __name__ == "__main__":
    run(prog_name="vcfbert")

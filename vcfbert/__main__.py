"""`python -m vcfbert`: the command `vcfbert`, for launchers such as torchrun."""

from vcfbert_cli.main import app  # type: ignore[import-untyped, import-not-found, unused-ignore]

if __name__ == "__main__":
    app(prog_name="vcfbert")

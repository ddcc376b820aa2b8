"""Imports go down one list only, and each heavy library has one home."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "cli": {"cli", "pipelines", "storage.workspace", "presets", "config", "errors", "progress"},
    "pipelines": {
        "pipelines", "training", "model", "copying", "retrieval", "storage", "domain",
        "presets", "config", "errors", "progress", "digests", "bounded", "versions",
    },
    "training": {
        "training", "model", "copying", "retrieval", "storage", "domain", "config", "errors",
        "progress", "digests", "bounded", "versions",
    },
    "model": {"model", "domain", "config", "errors"},
    "copying": {"copying", "domain", "config", "errors"},
    "retrieval": {"retrieval", "domain", "config", "errors", "digests", "bounded"},
    "storage": {"storage", "domain", "config", "errors", "digests", "bounded"},
    "domain": {"domain", "config", "errors"},
    "presets": {"config", "errors"},
    "config": {"config", "errors", "bounded"},
    "errors": set(),
    "digests": {"bounded"},
    "bounded": set(),
    "progress": set(),
    "versions": set(),
}  # fmt: skip

HOMES = {
    "cyvcf2": {"vcfbert/storage/vcf"},
    "pysam": {"vcfbert/storage/vcf"},
    "zarr": {"vcfbert/storage/"},  # the calls are in stores.py; its neighbours name its types
    "faiss": {"vcfbert/retrieval/"},
    "torch": {"vcfbert/model/", "vcfbert/training/", "vcfbert/copying/torch_"},
    "safetensors": {"vcfbert/training/"},
    "numba": {"vcfbert/copying/", "vcfbert/storage/vcf_render"},
    "deflate": {"vcfbert/storage/bgzf"},
    "tensorboard": {"vcfbert/training/"},
    "msprime": {
        "vcfbert/pipelines/simulate",
        "vcfbert/pipelines/varied",
        "vcfbert/pipelines/demographies",
        "vcfbert/pipelines/landscapes",
    },
    "matplotlib": {"vcfbert/pipelines/compare_figure"},
    "typer": {"cli/"},
    "rich": {"cli/"},
    "click": set(),
}

MODULES = sorted([*(ROOT / "vcfbert").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports, lazily or not."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def layer_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] == "cli" else parts[1]


def is_allowed(name: str, allowed: set[str]) -> bool:
    """True where `name` is in one of the layers, or of nobody's layer."""
    parts = name.removeprefix("vcfbert.").split(".")
    return parts[0].startswith("__") or any(
        parts[: len(layer.split("."))] == layer.split(".") for layer in allowed
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_layers_below_it(path):
    if path.parent == ROOT / "vcfbert" and path.name == "__init__.py":
        return
    allowed = MAY_IMPORT[layer_of(path)]
    bad = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for line, name in imported(path)
        if name.split(".")[0] in {"vcfbert", "vcfbert_cli", "cli"}
        and name != "vcfbert"
        and not is_allowed(name, allowed)
    ]
    assert bad == []


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_has_one_home(library):
    strays = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        for line, name in imported(path)
        if name.split(".")[0] == library
        and not any(str(path.relative_to(ROOT)).startswith(home) for home in HOMES[library])
    ]
    assert strays == []


def test_zarr_is_called_in_stores_alone():
    """Its neighbours in storage/ may name `zarr.Group` and `zarr.Array` as types."""
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if path.name != "stores.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("zarr.")
    ]
    assert calls == []


def test_modules_stay_readable():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("vcfbert_cli.main", {"torch", "faiss", "zarr", "cyvcf2", "numpy"}),
        ("vcfbert.pipelines.prepare", {"torch", "faiss"}),
        ("vcfbert.copying.engine", {"torch", "faiss", "zarr"}),
        ("vcfbert.pipelines.impute", {"torch"}),
        ("vcfbert.storage.stores", {"torch", "faiss"}),
        ("vcfbert.model.imputer", {"faiss", "zarr", "cyvcf2"}),
        ("vcfbert.retrieval", {"torch", "zarr"}),
    ],
)
def test_importing_a_module_leaves_unneeded_libraries_alone(module, absent):
    code = f"import sys, {module}; print(sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

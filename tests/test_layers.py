"""Imports go down one list of layers, each heavy library has one home, and code stays short."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = {
    "errors": set(),
    "plurals": set(),
    "progress": {"plurals"},
    "versions": set(),
    "compiling": set(),
    "files": {"errors"},
    "config": {"errors", "files", "plurals"},
    "domain": {"errors", "plurals"},
    "storage": {"domain", "files", "errors", "plurals", "versions", "compiling"},
    "retrieval": {"domain", "files", "errors", "plurals", "compiling"},
    "copying": {"domain", "errors"},
    "phasing": {
        "copying.compiled", "copying.intrinsics", "copying.parameter_sets", "domain", "errors",
    },
    "model": {"domain", "config", "errors"},
    "training": {
        "model", "copying", "retrieval", "storage", "domain", "files", "config", "errors",
        "plurals", "progress", "versions",
    },
    "pipelines": {
        "training", "model", "copying", "phasing", "retrieval", "storage", "domain", "files",
        "config", "errors", "plurals", "progress", "versions",
    },
    "api": {"pipelines", "storage.zarr.workspace", "config", "errors", "progress"},
    "cli": {
        "pipelines", "storage.zarr.workspace", "config", "errors", "plurals", "progress",
        "versions",
    },
    "__main__": {"vcfbert_cli"},  # `python -m vcfbert`, which nothing imports
}  # fmt: skip
"""What each layer may import besides itself."""

ROOMS = {
    "training.devices": set(),
    "training.host_memory": set(),
    "training.machine": {"training.host_memory"},
    "training.runs": set(),
    "training.mosaic": {"training.devices"},
    "training.systems": {"training.devices", "training.runs"},
    "pipelines.about": set(),
    "pipelines.train": {"pipelines.mosaic", "pipelines.systems"},
    "pipelines.text_table": set(),
    "pipelines.file_lists": set(),
    "pipelines.preparing": {"pipelines.chunks"},
    "pipelines.chunks": set(),
    "pipelines.parts": {"pipelines.chunks"},
    "pipelines.imputing": {"pipelines.chunks", "pipelines.parts"},
    "pipelines.phasing": {"pipelines.chunks"},
    "pipelines.merging": set(),
    "pipelines.warm_up": {
        "pipelines.preparing", "pipelines.imputing", "pipelines.phasing", "pipelines.merging",
    },
    "pipelines.mosaic": {"pipelines.chunks", "pipelines.text_table"},
    "pipelines.systems": set(),
    "pipelines.evaluating": {
        "pipelines.chunks", "pipelines.text_table",
    },
    "pipelines.auditing": {"pipelines.systems"},  # its pre-flight checks are those of `train`
    "pipelines.verifying": {"pipelines.systems"},  # shapes are checked by its `store_checks`
}  # fmt: skip
"""What each room of a layer may import of the other rooms of that layer."""

HOMES = {
    "cyvcf2": {"vcfbert/storage/vcf/"},
    "pysam": {"vcfbert/storage/vcf/"},
    "numcodecs": {"vcfbert/storage/zarr/"},
    "zarr": {"vcfbert/storage/zarr/"},  # the calls are in stores.py; its neighbours name its types
    "faiss": {"vcfbert/retrieval/"},
    "torch": {"vcfbert/model/", "vcfbert/training/", "vcfbert/copying/torch_"},
    "safetensors": {"vcfbert/training/"},
    "numba": {
        "vcfbert/copying/",
        "vcfbert/phasing/",
        "vcfbert/compiling",
        "vcfbert/storage/vcf/rendering",
    },
    "deflate": {"vcfbert/storage/vcf/bgzf"},
    "tensorboard": {"vcfbert/training/"},
    "distributed": {"vcfbert/pipelines/imputing/cluster"},
    "dask": {"vcfbert/pipelines/imputing/cluster"},
    "msprime": {"vcfbert/pipelines/preparing/simulate"},
    "matplotlib": {
        "vcfbert/pipelines/evaluating/comparison_figure",
        "vcfbert/pipelines/systems/learning_curves",
    },
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


def modules_imported(path: Path, names: dict[str, Path]) -> Iterator[str]:
    """The modules among `names` that a module imports, or imports something of."""
    for _, name in imported(path):
        while name and name not in names and f"{name}.__init__" not in names:
            name = name.rpartition(".")[0]
        if name:
            yield name if name in names else f"{name}.__init__"


def place_of(path: Path) -> str:
    """Dotted name of a module without `vcfbert`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts[parts[0] == "vcfbert" :] if part != "__init__")


def is_below(name: str, places: Iterable[str]) -> bool:
    """True if a dotted name is one of the places, or inside one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def room_of(name: str) -> str | None:
    """The room a dotted name is in; None outside the layers that have rooms."""
    return next((room for room in ROOMS if is_below(name, {room})), None)


def is_allowed(place: str, name: str) -> bool:
    """True if a module may import a name of the package."""
    layer = place.split(".")[0]
    if name.startswith("__"):
        return True
    if not is_below(name, LAYERS[layer] | {layer}):
        return False
    here, there = room_of(place), room_of(name)
    is_free = here is None or there is None or here.split(".")[0] != there.split(".")[0]
    return is_free or there in ROOMS[here] | {here}


def test_a_module_imports_only_what_is_below_it():
    bad = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in MODULES
        if path != ROOT / "vcfbert" / "__init__.py"
        for line, name in imported(path)
        if name.split(".")[0] in {"vcfbert", "vcfbert_cli", "cli"}
        and name != "vcfbert"
        and not is_allowed(place_of(path), name.removeprefix("vcfbert."))
    ]
    assert bad == []


def test_no_modules_import_each_other():
    """Lazy imports and those under TYPE_CHECKING count, too."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    graph = {name: set(modules_imported(path, names)) - {name} for name, path in names.items()}
    while leaves := {name for name, below in graph.items() if not below}:
        graph = {name: below - leaves for name, below in graph.items() if name not in leaves}
    while tops := graph.keys() - set().union(*graph.values()):
        graph = {name: below for name, below in graph.items() if name not in tops}
    assert graph == {}


def test_every_module_of_a_layer_with_rooms_is_in_a_room():
    homeless = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if path.name != "__init__.py"
        and place_of(path).split(".")[0] in {"training", "pipelines"}
        and room_of(place_of(path)) is None
    ]
    assert homeless == []


def test_a_heavy_library_has_one_home():
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in MODULES
        for line, name in imported(path)
        for home in [HOMES.get(name.split(".")[0])]
        if home is not None and not str(path.relative_to(ROOT)).startswith(tuple(home))
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


def test_modules_stay_short():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


def test_functions_stay_short():
    """At most 60 lines, not counting the signature: that of a command declares its options."""
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": lines
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and (lines := node.end_lineno - node.body[0].lineno + 1) > 60
    }
    assert long == {}


def test_a_class_name_means_one_thing():
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("vcfbert_cli.main", {"torch", "faiss", "zarr", "cyvcf2", "numpy"}),
        ("vcfbert.pipelines.preparing.prepare", {"torch", "faiss"}),
        ("vcfbert.copying.engine", {"torch", "faiss", "zarr"}),
        ("vcfbert.pipelines.imputing.impute", {"torch", "zarr", "faiss"}),
        ("vcfbert.pipelines.phasing.phase", {"torch", "zarr", "faiss"}),
        ("vcfbert.storage.zarr.stores", {"torch", "faiss", "zarr"}),
        ("vcfbert.model.imputer", {"faiss", "zarr", "cyvcf2"}),
        ("vcfbert.retrieval", {"torch", "zarr"}),
    ],
)
def test_importing_a_module_leaves_unneeded_libraries_alone(module, absent):
    code = f"import sys, {module}; print(sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""What the code never does: read what can run code or name types of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.test_layers import MODULES, ROOT, imported

CALLS = {
    "torch.load", "np.load", "numpy.load", "np.fromfile", "np.loadtxt", "np.genfromtxt", "eval",
    "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "joblib.load",
    "marshal.loads", "shelve.open",
}  # fmt: skip
KEYWORDS = {"allow_pickle", "weights_only", "shell"}
MODULES_NEVER = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "yaml", "cloudpickle"}


def dangers(path: Path) -> Iterator[str]:
    """What a module calls, passes or imports of the lists above."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if (called := ast.unparse(node.func)) in CALLS:
                yield called
            yield from (keyword.arg for keyword in node.keywords if keyword.arg in KEYWORDS)
    yield from (name for _, name in imported(path) if name.split(".")[0] in MODULES_NEVER)


def test_nothing_is_loaded_that_can_run_code():
    found = {str(path.relative_to(ROOT)): list(dangers(path)) for path in MODULES}
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_no_reader_of_npy_files_exists():
    """So that there is none to refuse an array of objects in."""
    mentions = [path for path in MODULES if ".npy" in path.read_text(encoding="utf-8")]
    assert mentions == []

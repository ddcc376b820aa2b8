"""What the code never does: read what can run code or name types of its own."""

from __future__ import annotations

import ast

import pytest

from tests.test_layers import MODULES, ROOT, imported

CALLS = {
    "torch.load", "np.load", "numpy.load", "np.fromfile", "np.loadtxt", "np.genfromtxt", "eval",
    "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "joblib.load",
    "marshal.loads", "shelve.open",
}  # fmt: skip
MODULES_NEVER = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "yaml", "cloudpickle"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_loaded_that_can_run_code(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    bad = [ast.unparse(node.func) for node in calls if ast.unparse(node.func) in CALLS]
    bad += [
        keyword.arg
        for node in calls
        for keyword in node.keywords
        if keyword.arg in {"allow_pickle", "weights_only", "shell"}
    ]
    bad += [name for _, name in imported(path) if name.split(".")[0] in MODULES_NEVER]
    assert bad == []


def test_no_reader_of_npy_files_exists():
    """So that there is none to refuse an array of objects in."""
    mentions = [path for path in MODULES if ".npy" in path.read_text(encoding="utf-8")]
    assert mentions == []

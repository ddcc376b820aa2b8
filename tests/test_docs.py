"""The documents say what the code does: generated pages are fresh, commands and links exist."""

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from vcfbert_cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMANDS = sorted(command.name for command in app.registered_commands)


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def invocations() -> list[tuple[str, list[str]]]:
    """Every `vcfbert ...` line of the documents' shell blocks and of the Justfile."""
    texts = [(page.name, block) for page in PAGES for block in blocks(page, "sh")]
    justfile = (ROOT / "Justfile").read_text(encoding="utf-8").replace("\\\n", " ")
    texts.append(("Justfile", re.sub(r"^\s*step ", "vcfbert ", justfile, flags=re.MULTILINE)))
    for command in app.registered_commands:
        texts.append((command.name, re.sub(r"(?s).*Example: ", "", command.callback.__doc__)))
    return [
        (name, as_parsed(shlex.split(line.split(" && ")[0])[1:]))
        for name, text in texts
        for line in (raw.strip() for raw in text.splitlines())
        if line.startswith("vcfbert ") and not line.startswith("vcfbert :=")
    ]


def as_parsed(words: list[str]) -> list[str]:
    """`impute part` is `impute-part`, and `impute plan` is `impute` with --plan."""
    if words[:1] == ["impute"] and words[1:2] in (["part"], ["join"]):
        return [f"impute-{words[1]}", *words[2:]]
    return ["impute", *words[2:]] if words[:2] == ["impute", "plan"] else words


@pytest.mark.parametrize("name", generator().PAGES)
def test_generated_page_is_fresh(name):
    wanted = generator().PAGES[name]()
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == wanted, "run: just docs"


def test_every_command_is_documented_and_has_a_recipe():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    recipes = (ROOT / "Justfile").read_text(encoding="utf-8")
    documented = re.findall(r"^## vcfbert (.+)$", page, re.MULTILINE)
    assert sorted(documented) == COMMANDS
    assert set(COMMANDS) <= set(re.findall(r"^([\w-]+) \*args:", recipes, re.MULTILINE))


def test_every_command_shows_an_example_of_itself():
    examples = {
        command.name: re.findall(r"Example: vcfbert ([\w-]+)", command.callback.__doc__)
        for command in app.registered_commands
    }
    assert examples == {name: [name] for name in examples}


def test_written_command_lines_use_options_that_exist():
    commands = typer.main.get_command(app).commands
    wrong = []
    for place, (name, *words) in invocations():
        if name in commands:
            known = {option for p in commands[name].params for option in p.opts}
            used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            wrong += [f"{place}: {name} {option}" for option in used - known - {"--help", "-h"}]
        elif not name.startswith("-"):
            wrong.append(f"{place}: {name}")
    assert wrong == []


def test_recipes_named_in_the_documents_exist():
    justfile = (ROOT / "Justfile").read_text(encoding="utf-8")
    recipes = set(re.findall(r"^([a-z][\w-]*)(?: [^:\n]*)?:(?!=)", justfile, re.MULTILINE))
    named = {
        recipe
        for page in PAGES
        for recipe in re.findall(
            r"(?:`|&& |^)just ([a-z][\w-]*)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {"demo", "test", "check"} <= named
    assert named <= recipes


def test_links_lead_to_files():
    lost = [
        f"{page.name}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert lost == []


def test_python_in_the_documents_imports_what_exists():
    for code in (block for page in PAGES for block in blocks(page, "python")):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    module = importlib.import_module(node.module)
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")


def test_toml_in_the_documents_is_a_valid_config(tmp_path):
    from vcfbert import config
    from vcfbert.config import presets

    for page in PAGES:
        for number, block in enumerate(blocks(page, "toml")):
            path = tmp_path / f"{page.stem}{number}.toml"
            path.write_text(block)
            config.merge(presets.tiny(), config.load(path), source=str(path))


def test_ci_runs_the_check_command_of_the_readme():
    assert "just check" in (ROOT / "README.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip()
    assert script.splitlines()[-1] == "just check"


def test_the_command_runs_as_a_module_of_its_own():
    """Its name leaves `cli` free for other packages."""
    code = "import vcfbert_cli, importlib.util; print(importlib.util.find_spec('cli'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "None"

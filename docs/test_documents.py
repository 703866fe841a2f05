"""Every example in the README, the guides and CONTRIBUTING runs, and prints what it says it prints."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_examples import CodeExample, EvalExample, find_examples

import xentropy
from benchmarks import table
from benchmarks.parts import arithmetic

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TITLED = re.compile(r'^```\w+ title="(.+?)"\n(.*?)^```', re.DOTALL | re.MULTILINE)
EXAMPLES = [e for e in find_examples(*PAGES) if "title" not in e.prefix_settings()]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example(example: CodeExample, eval_example: EvalExample) -> None:
    eval_example.set_config(line_length=110)
    if eval_example.update_examples:
        eval_example.run_print_update(example)
    else:
        eval_example.run_print_check(example)


SIGNATURES = re.findall(r"^\| `(\w+)\((.+?)\)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "arguments"), SIGNATURES)
def test_signatures_of_the_readme(name: str, arguments: str) -> None:
    parameters = inspect.signature(getattr(xentropy, name)).parameters.values()
    written = [p.name for p in parameters]
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if keywords:
        written.insert(written.index(keywords[0]), "*")
    assert arguments == ", ".join(written)


def test_the_readme_has_every_function() -> None:
    assert {name for name, _ in SIGNATURES} == {name for name in xentropy.__all__ if name.islower()}


def test_backend_of_contributing(tmp_path: Path) -> None:
    """The package in CONTRIBUTING is found by its entry point and does what is said there."""
    for title, content in TITLED.findall((ROOT / "CONTRIBUTING.md").read_text()):
        (tmp_path / title).write_text(content)
    install(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "check.py"], cwd=tmp_path, env=environment, check=True)


def install(folder: Path) -> None:
    """Leave what an installer would leave of the folder's pyproject.toml."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    recorded = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    recorded.mkdir()
    (recorded / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in groups]
    (recorded / "entry_points.txt").write_text("\n".join(lines))


def test_speed_tables_of_the_readme() -> None:
    report = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    readme = (ROOT / "README.md").read_text()
    for written in (table.markdown(report), table.memory_markdown(report)):
        assert written in readme


def test_arithmetic_of_parts() -> None:
    assert "\n".join(arithmetic.lines()) in (ROOT / "docs" / "parts.md").read_text()


RECIPE = ROOT / "examples" / "ci"
WORKFLOW = ROOT / ".github" / "workflows" / "parity.yml"


def steps() -> list[dict[str, Any]]:
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]["parity"]["steps"]


def test_our_workflow_is_the_one_to_copy() -> None:
    assert WORKFLOW.read_text() == (RECIPE / "parity.yml").read_text()


def test_the_workflow_runs_on_every_push_and_every_week() -> None:
    # YAML 1.1 reads the key "on" as a Boolean.
    triggers = yaml.safe_load(WORKFLOW.read_text())[True]
    assert set(triggers) == {"push", "pull_request", "schedule"}
    (schedule,) = triggers["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"])


@pytest.mark.parametrize("noxfile", [ROOT / "noxfile.py", RECIPE / "noxfile.py"], ids=["ours", "recipe"])
def test_the_workflow_runs_a_session_that_writes_what_it_keeps(noxfile: Path) -> None:
    (command,) = [words[1:] for step in steps() if (words := step.get("run", "").split())[:1] == ["nox"]]
    assert command == ["-s", "parity"]
    (session,) = re.findall(r"^def parity\(.*?(?=^@|\Z)", noxfile.read_text(), re.DOTALL | re.MULTILINE)
    (kept,) = [step for step in steps() if "upload-artifact" in step.get("uses", "")]
    assert kept["if"] == "always()"
    for file in kept["with"]["path"].split():
        assert f"={file}" in session


def test_the_recipe_names_its_own_files() -> None:
    named = re.findall(r"^\| `(.+?)` \|", (RECIPE / "README.md").read_text(), re.MULTILINE)
    assert all((RECIPE / name).is_file() for name in named)
    assert {path.name for path in RECIPE.iterdir() if path.is_file()} == {*named, "team_losses.py", "README.md"}

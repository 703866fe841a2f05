"""``xentropy parity package.module:loss`` of losses whose labels are int64."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from typer.testing import CliRunner

from xentropy.parity.cli import app

LOSSES = """
    import torch
    from torch.nn import functional


    def rows(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, targets, reduction="none")


    mean = torch.nn.CrossEntropyLoss()


    def my_gradients(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return rows(logits.detach() * 2 - logits, targets)
"""
FAMILIES = "--families=digits,confident"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"package_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(dedent(LOSSES))
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize(("loss", "options"), [("rows", []), ("mean", ["--reduction=mean"])])
def test_a_loss_of_the_framework_is_its_own(package: str, loss: str, options: list[str]) -> None:
    bounds = ["--against=torch", "--rtol=1e-5", "--atol=1e-6"]
    result = CliRunner().invoke(app, ["parity", f"{package}:{loss}", FAMILIES, *bounds, *options, "--html=page.html"])
    assert result.exit_code == 0, result.output
    assert "was compared" not in result.stdout, "there are derivatives"
    page = Path("page.html").read_text(encoding="utf-8")
    programs = [unescape(program) for program in re.findall(r"<code>(.*?)</code>", page, re.DOTALL)]
    (first, *_) = [program for program in programs if f"import {package}" in program]
    done = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert torch.isfinite(torch.tensor(float(done.stdout.strip("[]\n"))))


def test_a_wrong_gradient_is_found(package: str) -> None:
    bounds = ["--against=torch", "--rtol=1e-5", "--atol=1e-6"]
    result = CliRunner().invoke(app, ["parity", f"{package}:my_gradients", FAMILIES, *bounds])
    assert result.exit_code == 1
    assert "and torch's own loss differ in the gradient" in " ".join(result.stdout.split())

"""The page of a real run, of a run that misses bounds, and of one that fails of something else, in Chromium."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright
from test_parity_cli import register, run

from xentropy.parity import discovery, page
from xentropy.parity.families import FAMILIES
from xentropy.parity.matrix import run_family

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"phone": (360, 740), "desk": (1280, 900)}
SCHEMES = ("light", "dark")
MOVED = ("Numbers that moved", "digits/index, xentropy on numpy: the loss of row 0 was 1.0, is <2.0>\n" * 3)
PROGRAM = f"the loss at [0] is inf, and has to be 40.0\n\nimport numpy as np\n\nlogits = np.asarray([{'0.0, ' * 99}])"


@dataclass
class Visit:
    """A page that is open, and what it asked of the network and said in the console."""

    page: Page
    file: Path
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def open(self, cell: str) -> None:
        """Open the dialog of a cell."""
        self.page.locator(f"[id='{cell}']").click()

    def cells(self) -> list[str]:
        """The anchors of all cells."""
        return self.page.eval_on_selector_all(".matrix button", "buttons => buttons.map(one => one.id)")


def write_held(file: Path) -> None:
    """Of a run whose bounds are met, and that fails for numbers that moved and a loss that is not another."""
    adapters = dict.fromkeys(("numpy", "numpy-again"), discovery.load("numpy"))
    results = [run_family(FAMILIES[name], adapters, 0, lambda: None) for name in ("digits", "linear")]
    near, far = page.Distance(0.5, 4.0), page.Distance(math.inf, 4.0)
    rows = [
        page.HeldRow("digits", 2, {"loss": near, "gradient": near, "curvature": near}),
        page.HeldRow("drawn: confident", 9, {"loss": far}, failure=PROGRAM),
        page.HeldRow("linear", 0, skipped="no such loss"),
    ]
    facts = {"xentropy": version("xentropy-array"), "seed": 0, "seconds": 1.0}
    held = page.Held("somebody.losses:naive_with_a_long_name", "exact", "4 ulp + span", rows)
    page.write(file, results, [], adapters, [], facts, failures=[MOVED], held=held)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three pages."""
    folder = tmp_path_factory.mktemp("page")
    found = {"pass": folder / "pass.html", "fail": folder / "fail.html"}
    assert run("--backends", "numpy", "--html", str(found["pass"])).exit_code == 0
    with pytest.MonkeyPatch.context() as patch:
        register(patch, numpy="test_parity_cli:wrong", no_such_framework="nowhere:adapter")
        result = run("--backends", "numpy", "--families", "digits,ignored,linear", "--html", str(found["fail"]))
    assert result.exit_code == 1
    found["other"] = folder / "other.html"
    write_held(found["other"])
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.fail(f"the page is tested in a browser, and none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["pass", "fail", "other"])
def verdict(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def visit(browser: Browser, files: dict[str, Path], verdict: str, width: str, scheme: str) -> Iterator[Visit]:
    """Every page at every width in both schemes."""
    yield from visited(browser, files[verdict], width, scheme)


@pytest.fixture
def desk(browser: Browser, files: dict[str, Path]) -> Iterator[Visit]:
    """The page of the real run, at one width in one scheme."""
    yield from visited(browser, files["pass"], "desk", "light")


@pytest.fixture
def missing(browser: Browser, files: dict[str, Path]) -> Iterator[Visit]:
    """The page of the run that misses bounds."""
    yield from visited(browser, files["fail"], "desk", "light")


@pytest.fixture
def other(browser: Browser, files: dict[str, Path]) -> Iterator[Visit]:
    """The page of the run that fails of something else, on a phone."""
    yield from visited(browser, files["other"], "phone", "light")


def visited(browser: Browser, file: Path, width: str, scheme: str, *, scripts: bool = True) -> Iterator[Visit]:
    across, down = WIDTHS[width]
    context = browser.new_context(
        viewport={"width": across, "height": down}, color_scheme=scheme, java_script_enabled=scripts
    )
    visit = Visit(context.new_page(), file)

    def stop(route: Route, request: Request) -> None:
        visit.requests.append(request.url)
        if request.url == file.as_uri():
            route.continue_()
        else:
            route.abort()

    context.route("**/*", stop)
    visit.page.on("console", lambda message: visit.messages.append(message.text))
    visit.page.on("pageerror", lambda error: visit.messages.append(str(error)))
    visit.page.goto(file.as_uri())
    yield visit
    context.close()
    assert visit.messages == []
    assert visit.requests == [file.as_uri()]

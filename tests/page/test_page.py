"""What everybody needs of the page: nothing from a network, room on a phone, a keyboard, contrast."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import MOVED, PROGRAM, Visit, visited
from playwright.sync_api import Browser, expect

from xentropy.parity.families import FAMILIES

LARGEST = 2_000_000
OPENED = "dialog[open]"


def violations(visit: Visit) -> list[str]:
    found = Axe().run(visit.page).response["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def overflow(visit: Visit) -> int:
    return visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_nothing_is_wider_than_the_screen(visit: Visit) -> None:
    assert overflow(visit) == 0
    visit.page.locator("summary").click()
    assert overflow(visit) == 0
    visit.open("numpy-own-digits")
    assert overflow(visit) == 0
    assert visit.page.locator(OPENED).evaluate("one => one.scrollWidth - one.clientWidth") == 0


def test_axe_finds_no_violation(visit: Visit) -> None:
    visit.page.locator("summary").click()
    assert violations(visit) == []
    for cell in ("numpy-ours-digits", "numpy-own-digits", "numpy-ours-linear"):
        visit.open(cell)
        assert violations(visit) == []
        visit.page.keyboard.press("Escape")


def test_axe_does_find_violations(missing: Visit) -> None:
    """What the test above relies on."""
    missing.page.evaluate("document.querySelector('.quiet').style.color = '#ccc'")
    assert any(one.startswith("color-contrast") for one in violations(missing))


def test_the_other_scheme_can_be_chosen(visit: Visit, scheme: str) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    before = visit.page.evaluate(paper)
    visit.page.locator("#theme").click()
    assert visit.page.evaluate(paper) != before
    assert violations(visit) == []
    assert visit.page.locator("#theme").inner_text() == scheme.capitalize()


def test_every_cell_opens_and_closes_by_keyboard(desk: Visit) -> None:
    cells = desk.cells()
    assert len(cells) == 2 * len(FAMILIES)
    desk.page.locator(f"[id='{cells[0]}']").focus()
    for cell in cells:
        assert desk.page.evaluate("document.activeElement.id") == cell
        desk.page.keyboard.press("Enter")
        expect(desk.page.locator(OPENED)).to_have_attribute("id", f"dialog-{cell}")
        assert desk.page.evaluate("document.activeElement.closest('dialog').id") == f"dialog-{cell}"
        desk.page.keyboard.press("Escape")
        expect(desk.page.locator(OPENED)).to_have_count(0)
        assert desk.page.evaluate("document.activeElement.id") == cell
        desk.page.keyboard.press("Tab")


def test_the_first_tab_leads_to_the_matrix(desk: Visit) -> None:
    desk.page.keyboard.press("Tab")
    expect(desk.page.locator(".skip")).to_be_focused()
    desk.page.keyboard.press("Enter")
    assert desk.page.url.endswith("#matrix")


def test_a_cell_says_everything_by_name(desk: Visit) -> None:
    for row in desk.page.locator(".matrix tbody tr").all():
        family = row.get_attribute("id")
        ours, own = row.get_by_role("button").all()
        expect(ours).to_have_accessible_name(f"numpy, xentropy, {family}: {shown(ours)} ulp, bound met")
        if own.get_attribute("class") == "none":
            assert own.locator("[aria-hidden]").inner_text() == "-"
            expect(own).to_have_accessible_name(f"numpy, own loss, {family}: not measured")
        else:
            met = "missed" if "missed" in own.inner_text() else "met"
            expect(own).to_have_accessible_name(f"numpy, own loss, {family}: {shown(own)} ulp, bound {met}")


def shown(button) -> str:
    return button.evaluate("one => one.childNodes[2].textContent").strip()


def test_rows_and_columns_are_headed(desk: Visit) -> None:
    table = desk.page.locator(".matrix")
    assert table.locator("caption").inner_text() == "Largest errors, in ulp"
    assert table.locator("th[scope=row]").count() == len(FAMILIES)
    assert table.locator("th[scope=col], th[scope=colgroup]").count() == 4


@pytest.mark.parametrize("cell", ["ours-confident", "own-digits", "own-many-classes", "ours-soft", "ours-linear"])
def test_the_program_prints_the_number_of_the_page(desk: Visit, cell: str, tmp_path: Path) -> None:
    desk.open(f"numpy-{cell}")
    opened = desk.page.locator(OPENED)
    facts = dict(zip(opened.locator("dt").all_inner_texts(), opened.locator("dd").all_inner_texts(), strict=True))
    program = tmp_path / "program.py"
    program.write_text(opened.locator("code").inner_text())
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    values = {"inf": np.inf, "nan": np.nan}
    printed = [np.ravel(eval(line, values)).tolist() for line in done.stdout.splitlines()]
    quantity = printed[0] if facts["quantity"] == "loss" else printed[1]
    assert float(facts["computed"]) in quantity


def test_the_program_can_be_copied(desk: Visit) -> None:
    desk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.open("numpy-ours-digits")
    desk.page.locator(f"{OPENED} .copy").click()
    expect(desk.page.locator(f"{OPENED} .copy")).to_have_text("Copied")
    code = desk.page.locator(f"{OPENED} code").text_content()
    assert desk.page.evaluate("navigator.clipboard.readText()") == code
    assert "xentropy.cross_entropy(" in code


def test_missed_bounds_lead_to_their_cells(missing: Visit) -> None:
    page = missing.page
    expect(page.locator(".verdict")).to_contain_text("FAIL")
    expect(page.locator(".facts").first).to_contain_text("not installed")
    links = page.locator(".notes a")
    anchors = {link.get_attribute("href") for link in links.all()}
    assert anchors == {"#numpy-ours-digits", "#numpy-ours-ignored", "#numpy-ours-linear"}
    for anchor in anchors:
        page.locator(f".notes a[href='{anchor}']").first.click()
        expect(page.locator(f"button{anchor}")).to_be_in_viewport()
        expect(page.locator(f"button{anchor}")).to_contain_text("missed")


def test_an_adapter_that_misses_a_bound_opens_with_the_numbers(missing: Visit) -> None:
    missing.open("numpy-ours-digits")
    opened = missing.page.locator(OPENED)
    facts = dict(zip(opened.locator("dt").all_inner_texts(), opened.locator("dd").all_inner_texts(), strict=True))
    assert float(facts["computed"]) / float(facts["exact"]) == pytest.approx(1 + 1e-5, rel=1e-6)
    assert "missed" in facts["bound"]


def test_a_failure_beside_the_bounds_fails_the_page(other: Visit) -> None:
    page = other.page
    expect(page).to_have_title("xentropy parity: FAIL")
    expect(page.locator(".verdict")).to_contain_text("FAIL other failures: 2; every bound met")
    loss = "somebody.losses:naive_with_a_long_name against exact"
    expect(page.locator(".failures h3")).to_have_text([MOVED[0], f"{loss}: drawn: confident"])
    assert page.locator(".failures pre").all_text_contents() == [MOVED[1], PROGRAM]
    region = page.get_by_role("region", name=f"{loss}: drawn: confident")
    expect(region).to_have_attribute("tabindex", "0")


def test_a_loss_that_is_held_against_another_has_its_table(other: Visit) -> None:
    table = other.page.get_by_role(
        "table", name="The largest distance and the allowed one, in ulp; the tolerance is 4 ulp + span"
    )
    assert table.locator("th[scope=col]").all_text_contents() == [
        *("group", "cases", "loss", "gradient", "curvature", "verdict")
    ]
    rows = [row.locator("th[scope=row], td").all_text_contents() for row in table.locator("tbody tr").all()]
    assert rows == [
        ["digits", "2", *["0.5 of 4"] * 3, "met"],
        ["drawn: confident", "9", "inf of 4 missed", *["-not compared"] * 2, "failed"],
        ["linear", "0", *["-not compared"] * 3, "left out: no such loss"],
    ]


def test_what_is_beyond_the_edge_is_hinted_at_until_it_is_seen(other: Visit) -> None:
    matrix = other.page.locator("#matrix .scroll")
    assert matrix.evaluate("one => one.scrollWidth > one.clientWidth")
    expect(matrix).to_have_class("scroll more")
    fade = matrix.evaluate("one => getComputedStyle(one, '::after').backgroundImage")
    assert fade.startswith("linear-gradient")
    width = matrix.evaluate("one => one.scrollWidth")
    matrix.evaluate("one => one.scrollTo(one.scrollWidth, 0)")
    expect(matrix).to_have_class("scroll")
    assert matrix.evaluate("one => one.scrollWidth") == width
    other.page.set_viewport_size({"width": 1280, "height": 900})
    matrix.evaluate("one => one.scrollTo(0, 0)")
    expect(matrix).to_have_class("scroll")


def test_the_file_is_small_and_names_no_other_place(files: dict[str, Path]) -> None:
    for file in files.values():
        text = file.read_text(encoding="utf-8")
        assert len(text) < LARGEST
        for word in ("http:", "https:", "@import", "url(", "src="):
            assert word not in text, word


@pytest.fixture
def without_scripts(browser: Browser, files: dict[str, Path]) -> Iterator[Visit]:
    yield from visited(browser, files["pass"], "phone", "dark", scripts=False)


def test_without_scripts_the_numbers_are_there(without_scripts: Visit) -> None:
    page = without_scripts.page
    expect(page.locator("#numpy-ours-precision")).to_be_visible()
    expect(page.locator("#numpy-ours-precision")).to_contain_text("0.5")
    expect(page.locator("#theme")).to_be_hidden()
    expect(page.locator(".readout caption")).to_have_text("Largest error of all levels")
    expect(page.locator(".readout tbody tr").first.locator("td")).to_have_text(["1", "-"])
    page.locator("summary").click()
    expect(page.locator("#levels tbody tr")).to_have_count(80)

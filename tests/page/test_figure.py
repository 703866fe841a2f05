"""The figure, by mouse, by touch of a key and by ear."""

import re

from conftest import Visit
from playwright.sync_api import expect

from xentropy.parity import discovery
from xentropy.parity.confidence import LEVELS, curves
from xentropy.parity.page.text import scientific


def readout(visit: Visit) -> list[list[str]]:
    rows = visit.page.locator(".readout tbody tr").all()
    return [[text.strip() for text in row.locator("th, td").all_inner_texts()] for row in rows]


def numbers(visit: Visit, level: int) -> list[str]:
    return visit.page.locator("#levels tbody tr").nth(level).locator("td").all_text_contents()


def test_the_table_has_what_is_measured(desk: Visit) -> None:
    own, ours = curves({"numpy": discovery.load("numpy")})
    assert (own.own, ours.own) == (True, False)
    assert own.gradient is None
    assert ours.gradient is not None
    for level in (0, 17, 79):
        expected = [own.loss[level], ours.loss[level], ours.gradient[level]]
        loss, nothing, *rest = numbers(desk, level)
        assert nothing == "-"
        assert [loss, *rest] == [scientific(float(value)) for value in expected]


def test_arrow_keys_announce_every_curve(desk: Visit) -> None:
    page, plot = desk.page, desk.page.locator("#plot")
    plot.focus()
    page.keyboard.press("Home")
    for level in (0, 1, 2):
        loss, _, ours, gradient = numbers(desk, level)
        spoken = page.locator("#spoken").text_content()
        assert spoken == (
            f"At exact loss {scientific(LEVELS[level])}. numpy: scipy.special.log_softmax: loss {loss}, gradient none; "
            f"numpy: xentropy: loss {ours}, gradient {gradient}."
        )
        expect(plot).to_have_attribute("aria-valuenow", str(level))
        page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(plot).to_have_attribute("aria-valuetext", f"exact loss {scientific(LEVELS[-1])}")
    page.keyboard.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuenow", "79")
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    expect(plot).to_have_attribute("aria-valuenow", "68")
    expect(page.locator("#spoken")).to_have_attribute("aria-live", "polite")


def test_hovering_reads_out_what_is_below_the_pointer(visit: Visit) -> None:
    page = visit.page
    for panel in page.locator(".panel svg").all():
        panel.scroll_into_view_if_needed()
        box = panel.bounding_box()
        assert box is not None
        seen = set()
        for share in (0.3, 0.6, 0.9):
            page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
            caption = page.locator(".readout caption").inner_text()
            found = re.fullmatch(r"At exact loss (\S+)", caption)
            assert found is not None
            level = [scientific(value) for value in LEVELS].index(found[1])
            seen.add(level)
            texts = [text for row in readout(visit) for text in row[1:]]
            assert texts == numbers(visit, level)
            hair = panel.locator(".crosshair").bounding_box()
            assert hair is not None
            assert abs(hair["x"] - (box["x"] + share * box["width"])) < box["width"] / 80
        assert len(seen) == 3


def test_hovering_says_nothing(desk: Visit) -> None:
    """A live region that follows a pointer would never be silent."""
    desk.page.locator(".panel svg").first.hover()
    assert desk.page.locator("#spoken").text_content() == ""

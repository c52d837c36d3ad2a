"""Pictures of a terminal keep its columns, whatever font draws them, and ask nothing of another machine."""

import re
import xml.etree.ElementTree as ET

import pytest

from hub.settings import CHECKOUT
from manual import pictures

SVG = "{http://www.w3.org/2000/svg}"
TOLD = "\x1b[1m 来源    rows\x1b[0m\n \x1b[31m扣留\x1b[0m held  7 < 8\n last\n more"


def cells(svg: str) -> dict[str, float]:
    """Where each text begins, in cells of the terminal."""
    return {t.text or "": (float(t.attrib["x"]) - pictures._EDGE) / pictures._CELL for t in ET.fromstring(svg).iter(f"{SVG}text")}


def test_each_text_begins_at_its_cell_and_its_width_is_told() -> None:
    svg = pictures.drawn("status", TOLD, None)
    assert cells(svg) == {"$ hub status": 0, "来源": 1, "rows": 9, "扣留": 1, "held": 6, "7 < 8": 12, "last": 1, "more": 1}
    widths = {t.text: float(t.attrib["textLength"]) / pictures._CELL for t in ET.fromstring(svg).iter(f"{SVG}text")}
    assert (widths["来源"], widths["rows"]) == (4, 4)
    red = [t.text for t in ET.fromstring(svg).iter(f"{SVG}text") if t.get("fill") == "#b3261e"]
    assert red == ["扣留"]


def test_what_is_left_out_is_shown_as_left_out() -> None:
    assert list(cells(pictures.drawn("status", TOLD, "last")))[-2:] == ["last", "…"]


@pytest.mark.parametrize("picture", sorted((CHECKOUT / "docs" / "images").glob("*.svg")), ids=lambda p: p.name)
def test_a_picture_asks_nothing_of_another_machine_and_every_one_is_shown(picture) -> None:  # type: ignore[no-untyped-def]
    text = picture.read_text(encoding="utf-8")
    ET.fromstring(text)
    assert set(re.findall(r"https?://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
    assert any(
        f"images/{picture.name}" in page.read_text(encoding="utf-8") for page in (*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"))
    )

"""What a page must not have: anything that runs, that is fetched from elsewhere, that can be sent, or that takes it into another page."""

import re
from html.parser import HTMLParser

_FORBIDDEN = {
    "script",
    "iframe",
    "frame",
    "object",
    "embed",
    "applet",
    "form",
    "base",
    "link",
    "img",
    "audio",
    "video",
    "portal",
    "noscript",
}
_FETCHING = {"src", "href", "srcset", "action", "formaction", "data", "poster", "ping", "background", "xlink:href", "manifest"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.policy: str | None = None
        self._is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_style = tag == "style"
        if tag in _FORBIDDEN:
            self.faults.append(f"<{tag}>")
        given = {name.lower(): value or "" for name, value in attrs}
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy = given["content"]
        elif tag == "meta" and "http-equiv" in given:
            self.faults.append(f"<meta {given['http-equiv']}>")
        for name, value in given.items():
            if name.startswith("on") or (name in _FETCHING and not value.startswith("#")) or re.search(r"url\(|javascript:", value, re.I):
                self.faults.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._is_style and re.search(r"url\(|@import|expression\(", data, re.I):
            self.faults.append("style")

    def handle_endtag(self, tag: str) -> None:
        self._is_style = False


def faults(page: str) -> list[str]:
    """Why a page is not one that needs and runs nothing; empty = it is. A page without the policy that forbids it all has a fault as well."""
    reader = _Reader()
    reader.feed(page)
    return reader.faults + ([] if reader.policy == POLICY else ["no policy"])

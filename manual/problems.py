"""docs/problems.md: what the sharing service says when it does not answer."""

from manual.markdown import table
from sharing.problems import kinds


def page() -> str:
    """The page."""
    rows = [
        [f"`{k.code}`", k.status, f"{k.title['zh']}<br>{k.title['en']}", f"{k.next['zh']}<br>{k.next['en']}"]
        for k in sorted(kinds().values(), key=lambda k: (k.status, k.code))
    ]
    return f"""# Problems of the sharing service

The body is `application/problem+json` (RFC 9457) in Chinese or English by `Accept-Language`. `code` is stable; `request_id` finds the request
in the log; `errors` points at what is malformed and never quotes it. `/problems/CODE` says the same.

{table(["code", "status", "meaning", "next step"], rows)}"""

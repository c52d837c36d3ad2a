"""What every review on the command line asks for and says: of an emergency, of unusual access."""

import getpass
from typing import Annotated

import typer

from hub.errors import ConfigError

FINDINGS = {"justified": "正当 justified", "unjustified": "不当 unjustified"}
Finding = Annotated[str, typer.Option("--finding", help=" | ".join(FINDINGS))]
Words = Annotated[str, typer.Option("--words", help="What was found; no value of a person.")]
By = Annotated[str | None, typer.Option("--by", help="Who reviews; the account on this machine if not given.")]


def given(finding: str, words: str, by: str | None) -> dict[str, str]:
    """Finding, words and reviewer, as a review is written down.

    Raises:
        ConfigError: it is no finding, or nothing is said.
    """
    if finding not in FINDINGS:
        raise ConfigError("this is no finding", where="--finding", next_step=f"one of: {', '.join(FINDINGS)}")
    if not words.strip():
        raise ConfigError("what was found must be said", where="--words")
    return {"by": (by or getpass.getuser()).strip(), "finding": finding, "words": words.strip()}


def tell(reviewed: str, finding: str, client_id: str) -> None:
    """Say that it was written down, and what comes next."""
    print(f"已复核 reviewed: {reviewed} {FINDINGS[finding]}")
    if finding == "unjustified":
        print(f"下一步 next: hub client revoke {client_id}")

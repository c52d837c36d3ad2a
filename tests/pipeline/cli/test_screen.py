"""What a person sees: bars on a terminal, plain lines in a pipe, one object for a program."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest
from rich.console import Console

from hub.errors import SourceUnavailable
from hub.progress import Progress
from hub.settings import CHECKOUT
from pipeline.cli.progress import reporting
from pipeline.run import ALL, Reporter
from schemas.contract import stems


def test_a_command_that_stands_in_a_group_is_pointed_to() -> None:
    asked = [sys.executable, "-m", "pipeline.cli", "judge", "one", "other", "must"]
    done = subprocess.run(asked, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "hub review judge" in done.stderr


def a_night(reporter: Reporter) -> None:
    """Tell a reporter of one source that comes, one that does not, and the night's end."""
    reporter.began("health", "fetch")
    reporter.moved("health", "fetch", Progress(1000, 4000))
    reporter.ended("health", "fetch", {"state": "fetched", "did": True}, 1.25)
    reporter.began("health", "parse")
    reporter.moved("health", "parse", Progress(4000, 4000))
    reporter.ended("health", "parse", {"state": "parsed", "did": True, "rows": 4000}, 0.5)
    reporter.ended("health", "gate", {"state": "accepted", "did": True}, 0.5)
    reporter.began("education", "fetch")
    reporter.moved("education", "fetch", Progress(2_000_000, None, "bytes"))
    reporter.failed("education", "fetch", SourceUnavailable("down", where="source [x]", next_step="call"), 3)
    reporter.ended(ALL, "share", {"night": "2026-03-01"}, 0.1)


def written(*, terminal: bool) -> str:
    target = io.StringIO()
    console = Console(file=target, force_terminal=terminal, width=100, highlight=False)
    with reporting(console) as reporter:
        a_night(reporter)
    return target.getvalue()


def test_a_terminal_shows_each_source_with_rows_and_seconds_by_verb() -> None:
    text = written(terminal=True)
    assert "4,000 行" in text and "fetch 1.2s" in text and "parse 0.5s" in text
    assert "source [x]: down — call" in text
    assert "\x1b[" in text


def test_the_bar_shows_rows_of_how_many() -> None:
    from rich.progress import Task

    from pipeline.cli.progress import _Rate

    task = Task(id=0, description="", total=4000, completed=1000, _get_time=lambda: 1.0, fields={"unit": "rows"})  # type: ignore[arg-type]
    assert str(_Rate().render(task)).startswith("1,000/4,000")


def test_a_pipe_gets_one_plain_line_a_verb() -> None:
    lines = written(terminal=False).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["health", "fetch"], ["health", "parse"], ["health", "gate"], ["education", "fetch"], ["all", "share"],
    ]  # fmt: skip
    assert "4,000 rows" in lines[1]
    assert not any(ord(c) < 32 for line in lines for c in line)


def test_nothing_is_said_for_a_program() -> None:
    target = io.StringIO()
    with reporting(Console(file=target), silent=True) as reporter:
        a_night(reporter)
    assert target.getvalue() == ""


def on_a_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """What a command writes on a pseudo-terminal."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", *arguments], stdin=follower, stdout=follower, stderr=follower, cwd=CHECKOUT,
        env={**environment, "TERM": "xterm", "COLUMNS": "80"}, close_fds=True,
    )  # fmt: skip
    os.close(follower)
    text = b""
    while True:
        try:
            piece = os.read(leader, 1 << 16)
        except OSError:  # Linux: the other side is closed
            break
        if not piece:
            break
        text += piece
    child.wait()
    os.close(leader)
    return text.decode("utf-8", "replace")


@pytest.mark.slow
def test_a_night_on_a_terminal_has_colour_and_in_a_pipe_has_none(five_nights) -> None:  # type: ignore[no-untyped-def]
    arguments = ["night", "--date", "2026-03-05"]
    shown = on_a_terminal(arguments, five_nights.environment)
    assert "\x1b[" in shown and "业务日期 2026-03-05" in shown
    piped = five_nights.command(*arguments)
    assert piped.returncode == 0, piped.stderr
    assert "\x1b" not in piped.stdout and "\r" not in piped.stdout
    assert all(stem in piped.stdout for stem in stems())


@pytest.mark.slow
@pytest.mark.parametrize("command", [["night", "--date", "2026-03-05"], ["status"], ["services"], ["config"], ["deliveries"]])
def test_json_is_exactly_one_value_on_standard_output(five_nights, command: list[str]) -> None:  # type: ignore[no-untyped-def]
    done = five_nights.command(*command, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert done.stdout.count("\n") == 1


@pytest.mark.slow
def test_the_status_says_per_source_what_the_morning_needs(five_nights) -> None:  # type: ignore[no-untyped-def]
    found = json.loads(five_nights.command("status", "--json").stdout)
    assert set(found["sources"]) == set(stems())
    for source in found["sources"].values():
        assert source["last_good_night"] and source["deadline"] and source["rows"] > 0
        assert set(source["books"]) >= {"delivered", "rejected", "quarantined", "withdrawn"}
    assert found["persons"] > 0 and found["households"] > 0
    assert all({"stem", "rule_id", "rows"} <= set(rule) for rule in found["quarantine"])
    text = five_nights.command("status").stdout
    pages = next(line for line in text.splitlines() if "reports" in line).split("file://")[1].strip()
    assert any(name.endswith(".html") for name in os.listdir(pages))

"""What the written documents promise: commands that exist and run as they stand, links that lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from hub.settings import CHECKOUT
from pipeline.cli.main import app

PAGES = [CHECKOUT / "README.md", CHECKOUT / "README.zh.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(?:sh|bash|)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def commands(page: Path) -> list[str]:
    """Lines of a page's code blocks that call `hub` or `make`, comments and prompts left out."""
    lines = [line for block in _BLOCK.findall(page.read_text(encoding="utf-8")) for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines if re.match(r"(hub|make) ", line)]


def test_the_pages_call_the_command_line() -> None:
    assert len(commands(CHECKOUT / "README.md")) >= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_hub_command_of_a_page_exists_with_its_options(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for line in commands(page):
        if not line.startswith("hub "):
            continue
        words = shlex.split(line)[1:]
        command: Any = root
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        assert [w for w in words if w.startswith("-") and w.split("=")[0] not in known] == [], line


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_make_target_of_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wrong = [line for line in commands(page) if line.startswith("make ") and not {w for w in line.split()[1:] if "=" not in w} <= targets]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [t for t in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in t]
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_both_readmes_say_the_same_in_structure() -> None:
    english, chinese = ((CHECKOUT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    assert re.findall(r"^(#+) ", english, re.MULTILINE) == re.findall(r"^(#+) ", chinese, re.MULTILINE)
    assert commands(CHECKOUT / "README.md") == commands(CHECKOUT / "README.zh.md")
    links = [set(_LINK.findall(text)) - {"README.md", "README.zh.md"} for text in (english, chinese)]
    assert links[0] == links[1]
    assert set(re.findall(r"`([a-z]+/)`", english)) == set(re.findall(r"`([a-z]+/)`", chinese))


# Commands that only look, or that are harmless on a night that is done.
SAFE = (
    "hub status",
    "hub services",
    "hub deliveries",
    "hub quarantine list",
    "hub fingerprint",
    "hub config",
    "hub doctor",
    "hub sandbox faults",
    "hub report",
)


@pytest.mark.slow
def test_the_readmes_looking_commands_run_as_they_stand(five_nights, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    lines = [line for line in commands(CHECKOUT / "README.md") if line.startswith(SAFE)]
    assert len(lines) >= 7
    for line in lines:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli.main", *shlex.split(line)[1:]], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=five_nights.environment | {"PYTHONPATH": str(CHECKOUT)},
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stderr}"

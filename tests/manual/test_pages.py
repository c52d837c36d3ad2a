"""The generated pages are what the code says, and hold what their readers look for."""

import subprocess
import sys
from pathlib import Path

import pytest

from hub.errors import HubError
from hub.settings import CHECKOUT, Settings
from manual import catalogue, cli, errors, settings
from manual.__main__ import main, stale
from pipeline.cli.main import app
from schemas.contract import load_contracts

DOCS = CHECKOUT / "docs"


def test_the_command_line_page_has_every_command_and_exit_status() -> None:
    text = cli.page()
    names = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    assert len(names) >= 15
    assert [n for n in names if f"### `hub {n}" not in text] == []
    assert "### `hub sandbox break STEM`" in text and "`--fault" in text


def test_every_error_has_its_exit_status_on_both_pages() -> None:
    def kinds(kind: type[HubError]) -> list[type[HubError]]:
        return [kind, *(k for below in kind.__subclasses__() if below.__module__ == HubError.__module__ for k in kinds(below))]

    statuses = cli.page()
    for kind in kinds(HubError):
        assert f"`{kind.__name__}`" in errors.page()
        assert f"{kind.exit_code} " in statuses.split("exit status:")[1].splitlines()[0]


def test_the_settings_page_has_every_setting_and_no_path_of_this_machine() -> None:
    text = settings.page()
    assert [n for n in Settings.model_fields if f"`HUB_{n.upper()}`" not in text] == []
    assert str(CHECKOUT) not in text


def test_the_catalogue_has_every_field_with_titles_and_class() -> None:
    lines = catalogue.page().splitlines()
    for contract in load_contracts().values():
        for field in contract.fields:
            row = next(line for line in lines if line.startswith(f"| `{field.name}` | `{field.physical_name}`"))
            assert field.title_zh in row and field.title_en in row and field.classification in row


@pytest.mark.slow
def test_the_pages_in_the_tree_are_fresh() -> None:
    """In a process of its own, because Airflow reads its configuration at import."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "manual", "--check"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_changed_or_missing_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("manual.__main__.PAGES", {"errors.md": errors.page, "settings.md": settings.page})
    for name in ("errors.md", "settings.md"):
        (tmp_path / name).write_bytes((DOCS / name).read_bytes())
    assert stale(tmp_path) == []
    (tmp_path / "errors.md").write_text("old")
    (tmp_path / "settings.md").unlink()
    assert stale(tmp_path) == ["errors.md", "settings.md"]
    assert main(["--nonsense"]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.slow
def test_the_schema_page_explains_every_table_of_the_pool() -> None:
    text = (DOCS / "schema.md").read_text(encoding="utf-8")
    for section in text.split("\n### ")[1:]:
        title, _, rest = section.partition("\n\n")
        assert rest.strip() and not rest.lstrip().startswith("|"), f"{title} has no comment"

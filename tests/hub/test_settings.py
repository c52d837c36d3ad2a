"""A county's size, seed and noise are those it was settled with."""

import json
from pathlib import Path
from typing import Any

import pytest

from hub.errors import ConfigError
from hub.settings import COUNTY_FILE, Origin, Settings, origin


def settings(home: Path, **values: Any) -> Settings:
    return Settings(home=home, **values)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERSONS", "SEED", "NOISE", "EPOCH"):
        monkeypatch.delenv(f"HUB_SANDBOX_{name}", raising=False)


def test_a_settled_county_is_found_again(tmp_path: Path) -> None:
    settings(tmp_path, sandbox_persons=5000, sandbox_noise="heavy").settle()
    again = settings(tmp_path)
    assert (again.sandbox_persons, again.sandbox_noise) == (5000, "heavy")
    assert origin(again, "sandbox_persons") is Origin.COUNTY


def test_settling_twice_keeps_the_first(tmp_path: Path) -> None:
    first = settings(tmp_path, sandbox_persons=5000)
    first.settle()
    first.settle()
    assert json.loads((tmp_path / COUNTY_FILE).read_text())["sandbox_persons"] == 5000


@pytest.mark.parametrize(("name", "value"), [("sandbox_persons", 7000), ("sandbox_seed", 2), ("sandbox_noise", "none")])
def test_another_county_in_its_place_is_refused_with_what_to_do(tmp_path: Path, name: str, value: Any) -> None:
    settings(tmp_path, sandbox_persons=5000).settle()
    with pytest.raises(ConfigError, match=f"HUB_{name.upper()}.*HUB_HOME"):
        settings(tmp_path, **{name: value})


def test_the_same_value_from_the_environment_is_welcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings(tmp_path, sandbox_persons=5000).settle()
    monkeypatch.setenv("HUB_SANDBOX_PERSONS", "5000")
    assert origin(settings(tmp_path), "sandbox_persons") is Origin.ENVIRONMENT
    monkeypatch.setenv("HUB_SANDBOX_PERSONS", "5001")
    with pytest.raises(ConfigError, match="settled with 5000, not 5001"):
        settings(tmp_path)


def test_a_damaged_county_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / COUNTY_FILE
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(ConfigError, match="county.json.*damaged"):
        settings(tmp_path)


def test_before_it_is_settled_nothing_is_fixed(tmp_path: Path) -> None:
    assert settings(tmp_path, sandbox_persons=300).sandbox_persons == 300
    assert origin(settings(tmp_path), "sandbox_persons") is Origin.DEFAULT

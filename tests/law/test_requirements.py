"""What the hub is installed from: each package in one version, known by its hash, from wherever the machine gets its packages."""

import re
import tomllib

import pytest

from hub.settings import CHECKOUT

FILES = sorted(path.name for path in CHECKOUT.glob("requirements*.txt"))
_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(\[[a-z0-9,._-]+\])?==[0-9][^ ]*( ; .*)?( --hash=sha256:[0-9a-f]{64})+$")


def lines(name: str) -> list[str]:
    """The requirements of a file, each in one line."""
    text = (CHECKOUT / name).read_text(encoding="utf-8").replace(" \\\n", " ")
    return [re.sub(r" +", " ", line).strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_one_version_with_its_hashes_and_no_address(name: str) -> None:
    found = lines(name)
    assert len(found) > 20
    assert [line.split(" ")[0] for line in found if not _PINNED.match(line)] == []
    assert "://" not in (CHECKOUT / name).read_text(encoding="utf-8")


def test_everything_the_project_asks_for_is_among_them() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = {re.split(r"[=\[]", line)[0] for line in lines("requirements.txt")}
    asked = [
        *project["project"]["dependencies"],
        *(d for group in ("airflow", "sharing", "dev") for d in project["dependency-groups"][group]),
    ]
    names = {re.split(r"[<>=\[;~! ]", d)[0].lower().replace("_", "-") for d in asked}
    assert names - pinned == set()

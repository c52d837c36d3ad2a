"""A sixth agency is four files and a night, and nothing else in the tree changes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from hub.settings import CHECKOUT, Settings
from pipeline.cli.new_agency import Agency, check, protocols
from warehouse import database, embedded

STEM = "civil_affairs"


class Copy:
    """The tree as it would be checked out, in another place, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.home = folder / "tree", folder / "home"
        names = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, names.split("\0")):
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target)
        who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "tree"]):
            subprocess.run(["git", *command], cwd=self.root, check=True)
        self.environment = {
            **os.environ, "PYTHONPATH": str(self.root), "HUB_HOME": str(self.home), "HUB_SANDBOX_PERSONS": "400",
        }  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A module of the copy, run by the same Python."""
        return subprocess.run(
            [sys.executable, "-m", *arguments], cwd=self.root, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def hub(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("pipeline.cli.main", *arguments)

    def changes(self) -> list[str]:
        """What git sees as changed or new, folders as one."""
        done = subprocess.run(["git", "status", "--porcelain"], cwd=self.root, capture_output=True, text=True, check=True)
        return sorted(done.stdout.splitlines())


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    folder = Path(tempfile.mkdtemp(prefix="hub-copy-"))
    folder.chmod(0o711)  # the embedded server runs as a user of its own
    made = Copy(folder)
    yield made
    made.hub("down")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_sixth_agency_is_four_files_and_runs_through_the_seven_verbs(copy: Copy) -> None:
    done = copy.hub("new-agency", STEM, "--agency-zh", "民政部门", "--title-zh", "低收入人口登记")
    assert done.returncode == 0, done.stderr
    assert copy.changes() == [
        f"?? connectors/{STEM}.py", f"?? expectations/{STEM}.py", f"?? schemas/{STEM}.yml", f"?? tests/fixtures/{STEM}/",
    ]  # fmt: skip

    night = copy.hub("night", "--json")
    assert night.returncode == 0, night.stderr
    books = json.loads(night.stdout)["sources"][STEM]
    assert books["state"] == "ok"
    assert books["delivered"] > 50
    values = {"home": copy.home}
    settings = Settings(**values)
    embedded.start(settings)
    with database.engine(settings).connect() as connection:
        table = sa.Table(STEM, sa.MetaData(), schema="core", autoload_with=connection)
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == books["inserted"] > 50

    again = copy.hub("night", "--date", "2026-03-01", "--json")
    assert json.loads(again.stdout)["fingerprint"] == json.loads(night.stdout)["fingerprint"]
    assert len(copy.changes()) == 4


@pytest.mark.slow
def test_the_copys_own_laws_and_tests_hold_for_the_sixth_agency(copy: Copy) -> None:
    if not (copy.root / f"schemas/{STEM}.yml").exists():
        assert copy.hub("new-agency", STEM).returncode == 0
    one_dag = "tests/dags/test_dags.py::test_there_is_one_intake_per_contract_and_one_unify"
    for chosen in (["tests/law", "tests/schemas", one_dag], ["tests/expectations", "-k", STEM]):
        done = copy.run("pytest", "-q", "-p", "no:cacheprovider", *chosen)
        assert done.returncode == 0, done.stdout[-3000:]
    for tool in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["yamllint", "--strict", "."]):
        done = copy.run(*tool)
        assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_every_protocol_makes_a_source_that_runs(copy: Copy) -> None:
    made = {f"agency_by_{protocol.replace('-', '_')}": protocol for protocol in protocols() if protocol != "rest-oauth"}
    for stem, protocol in made.items():
        done = copy.hub("new-agency", stem, "--protocol", protocol)
        assert done.returncode == 0, done.stderr
    night = copy.hub("night", "--date", "2026-03-02", "--json")
    assert night.returncode == 0, night.stdout + night.stderr
    states = {stem: json.loads(night.stdout)["sources"][stem]["state"] for stem in made}
    assert states == dict.fromkeys(made, "ok")


def asked(stem: str = "civil_registry", protocol: str = "rest-oauth", title: str = "Register") -> Agency:
    return Agency(stem, protocol, "person_file", "机构", "Agency", "登记", title)


@pytest.mark.parametrize(
    ("agency", "says"),
    [
        (asked("health"), "exists already"),
        (asked("concepts"), "exists already"),
        (asked("gate"), "exists already"),
        (asked("kits"), "exists already"),
        (asked("CivilAffairs"), "not a stem"),
        (asked("civil-affairs"), "not a stem"),
        (asked("_civil"), "not a stem"),
        (asked("../civil"), "not a stem"),
        (asked("a" * 31), "not a stem"),
        (asked("class"), "reserved"),
        (asked("person"), "reserved"),
        (asked(protocol="pigeon"), "no kit speaks"),
        (asked(title='"""'), "without quotes"),
        (asked(title="two\nlines"), "one line"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.stem[:14]}-{value.protocol}",
)
def test_a_bad_name_is_refused_before_anything_is_written(agency: Agency, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check(agency)


def test_a_good_name_is_not_refused() -> None:
    check(asked())


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["health", "Civil", "class"])
def test_the_command_says_it_in_one_sentence_with_status_2(stem: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "new-agency", stem], cwd=CHECKOUT, capture_output=True, text=True, check=False,
        env={**os.environ, "HUB_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

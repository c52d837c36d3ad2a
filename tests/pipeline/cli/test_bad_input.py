"""Wrong input is told in one sentence with its place, ends with its own exit status, and changes nothing. Never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.settings import CHECKOUT
from tests import oracle
from tests.conftest import Hub

pytestmark = pytest.mark.slow
Told = subprocess.CompletedProcess[str]


def is_one_sentence(done: Told, status: int, *says: str) -> None:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("错误 / error: ") == 1, done.stderr
    for text in says:
        assert text in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["night", "--date", "2026-02-30"], ("--date", "not a date")),
        (["night", "--date", "2020-01-01"], ("--date", "the county begins")),
        (["night", "--date", "2036-01-01"], ("--date", "more than a year")),
        (["night", "--source", "police"], ("no source", "known sources")),
        (["report", "police"], ("no source",)),
        (["report", "health", "--date", "2026-12-31"], ("no gate report",)),
        (["quarantine", "show", "police"], ("no source",)),
        (["quarantine", "list", "--source", "police"], ("no source",)),
        (["deliveries", "--source", "police"], ("no source",)),
        (["replay", "zzzz"], ("DELIVERY", "hub deliveries")),
        (["person", "nobody"], ("not an id",)),
        (["household", "nobody"], ("not an id",)),
        (["sandbox", "break", "health", "--fault", "gremlins"], ("--fault", "no fault")),
        (["sandbox", "break", "health", "--fault", "control_missing"], ("--fault", "cannot have")),
        (["sandbox", "mend", "police"], ("no source",)),
    ],
    ids=" ".join,
)
def test_a_wrong_flag_date_or_name(five_nights: Hub, arguments: list[str], says: tuple[str, ...]) -> None:
    before = five_nights.fingerprint()
    is_one_sentence(five_nights.command(*arguments), 2, *says)
    oracle.same_fingerprint(five_nights.fingerprint(), before)


def test_an_unknown_flag(five_nights: Hub) -> None:
    done = five_nights.command("night", "--dat", "2026-03-01")
    assert done.returncode == 2
    assert "--dat" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUB_SANDBOX_PERSONS", "many"),
        ("HUB_SANDBOX_PERSONS", "-3"),
        ("HUB_BUSINESS_CLOCK", "moon"),
        ("HUB_DATABASE_PORT", "99999"),
        ("HUB_LOG_LEVEL", "LOUD"),
        ("HUB_DATABASE_URL", "mysql://localhost/hub"),
    ],
)
def test_a_wrong_setting(five_nights: Hub, name: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "fingerprint"], cwd=CHECKOUT, env={**five_nights.environment, name: value},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    is_one_sentence(done, 2, name)


def test_a_wrong_credential_ends_as_a_source_that_cannot_be_read(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    path = hub.settings.home / "sources" / "health.json"
    good, before = path.read_text(encoding="utf-8"), hub.fingerprint()
    hub.change_endpoint("health", secret="not-the-secret")
    try:
        done = hub.command("night", "--date", "2026-03-02", "--source", "health")
    finally:
        path.write_text(good, encoding="utf-8")
    assert done.returncode == 3, done.stderr
    assert "the credential is not accepted" in done.stdout and "endpoint file" in done.stdout
    assert "not-the-secret" not in done.stdout + done.stderr and "Traceback" not in done.stderr
    oracle.same_fingerprint(hub.fingerprint(), before)


# Changes to a contract, and what is told of each.
def _syntax(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines[:9], "  : [broken", *lines[9:]])


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        document = yaml.safe_load(text)
        change(document)
        return yaml.safe_dump(document, allow_unicode=True)

    return edit


def _own(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda d: d["schema"][0]["properties"][1].setdefault("customProperties", []).append({"property": name, "value": value})


def _sla(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda d: d.update(slaProperties=[*(p for p in d["slaProperties"] if p["property"] != name), {"property": name, "value": value}])


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "syntax": (_syntax, "line 10"),
    "unknown key": (_edited(lambda d: d["schema"][0]["properties"][1].update(requird=True)), "schema/0/properties/1"),
    "unknown key of ours": (_edited(_own("codeSett", "sex")), ".codeSett"),
    "wrong type": (_edited(lambda d: d["schema"][0]["properties"][1].update(required="yes")), "properties/1/required"),
    "unknown code set": (_edited(_own("codeSet", "none_such")), "codeSet"),
    "no number": (_edited(_sla("retries", "often")), "slaProperties.retries"),
    "no time": (_edited(_sla("deadline", "dawn")), "slaProperties.deadline"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product in a folder of its own, whose contracts may be broken."""
    folder = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, listed):
        if not name.startswith(("tests/", "docs/")) and (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    return folder


@pytest.fixture
def contract(copy: Path) -> Iterator[Path]:
    """One contract of the copy; whole again after the test."""
    path = copy / "schemas" / "housing.yml"
    text = path.read_text(encoding="utf-8")
    yield path
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_contract_is_told_with_file_and_line_or_field_before_anything_is_done(five_nights: Hub, contract: Path, kind: str) -> None:
    edit, says = WRONG[kind]
    contract.write_text(edit(contract.read_text(encoding="utf-8")), encoding="utf-8")
    before = five_nights.fingerprint()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "night", "--date", "2026-03-06"], cwd=contract.parents[1],
        env={**five_nights.environment, "PYTHONPATH": str(contract.parents[1])}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    is_one_sentence(done, 2, "schemas/housing.yml", says)
    oracle.same_fingerprint(five_nights.fingerprint(), before)
    assert five_nights.command("report", "health", "--date", "2026-03-06").returncode == 2, "the night was not opened"


_BAG = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
unify = bag.dags.get("unify")
assets = sorted(a.uri for a in unify.schedule.asset_condition.objects) if unify else []
print("BAG" + json.dumps({"dags": sorted(bag.dags), "errors": bag.import_errors, "assets": assets}))
"""


def test_a_wrong_contract_takes_its_own_dag_out_and_no_other(contract: Path, tmp_path: Path) -> None:
    contract.write_text(_edited(_own("codeSet", "none_such"))(contract.read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _BAG], cwd=contract.parents[1], capture_output=True, text=True, check=False,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(contract.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("BAG"))[3:])
    others = ["disability", "education", "health", "medical_insurance"]
    assert found["dags"] == [f"intake_{stem}" for stem in others] + ["unify"]
    assert found["assets"] == [f"hub://source/{stem}" for stem in others]
    ((file, error),) = found["errors"].items()
    assert file.endswith("contracts.py")
    assert "schemas/housing.yml field" in error and "none_such" in error

"""What a local service failed is tried again where it stood; what failed for another reason does not turn green by being tried again."""

import shutil

import pytest
import sqlalchemy as sa

from hub.errors import HubError, ServiceError, SourceUnavailable
from pipeline import nights, run, scheduled, steps
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from tests.cut_off import cut_off
from warehouse import agency_tables, database, landing, ledger, staging

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STEM = "health"


@pytest.fixture
def night(borrowed: Hub, monkeypatch: pytest.MonkeyPatch) -> str:
    """The second night, open; verbs of this process work for its hub."""
    borrowed.restore("night_1")
    clock.set_night(borrowed.settings, 2)
    monkeypatch.setattr("pipeline.steps.get_settings", lambda: borrowed.settings)
    return str(nights.open_night(borrowed.settings, day=clock.date_of(borrowed.settings, 2)))


def taken_to(verb: str, night: str) -> None:
    for name in ("fetch", "land", "parse", "gate"):
        if name == verb:
            return
        assert getattr(steps, name)(STEM, scheduled._day(night))["did"]


def stands(hub: Hub, night: str) -> ledger.Intake:
    with database.engine(hub.settings).connect() as connection:
        found = ledger.intake(connection, scheduled._day(night), STEM)
    assert found is not None
    return found


def gone(*_: object, **__: object) -> None:
    raise ServiceError("PostgreSQL does not answer or broke off", where="warehouse")


@pytest.mark.parametrize(
    ("verb", "place"),
    [("land", (landing, "record_delivery")), ("parse", (staging, "fill")), ("gate", (landing, "load_report"))],
    ids=["land", "parse", "gate"],
)
def test_a_scheduled_verb_that_a_service_failed_does_its_work_when_it_is_tried_again(
    borrowed: Hub, night: str, monkeypatch: pytest.MonkeyPatch, verb: str, place: tuple[object, str]
) -> None:
    taken_to(verb, night)
    with monkeypatch.context() as away:
        away.setattr(*place, gone)
        with pytest.raises(ServiceError):
            getattr(scheduled, verb)(STEM, night)
        assert (stands(borrowed, night).state, stands(borrowed, night).error) == ("failed", "PostgreSQL does not answer or broke off")
    for name in ("land", "parse", "gate")[("land", "parse", "gate").index(verb) :]:
        assert getattr(scheduled, name)(STEM, night)["did"], name
    assert stands(borrowed, night).state == "accepted" and stands(borrowed, night).error is None
    borrowed.night(2)
    oracle.same_fingerprint(borrowed.fingerprint(), borrowed.reports[2].fingerprint)  # type: ignore[attr-defined]


def test_a_gate_whose_staged_rows_were_lost_and_whose_server_went_again_parses_when_it_is_tried_again(
    borrowed: Hub, night: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_to("gate", night)
    with database.engine(borrowed.settings).begin() as connection:
        connection.execute(sa.text(f"TRUNCATE {agency_tables.staging_table(STEM, night)}"))
    with monkeypatch.context() as away:
        away.setattr(staging, "fill", gone)
        with pytest.raises(ServiceError):
            scheduled.gate(STEM, night)
    assert scheduled.gate(STEM, night)["did"]
    assert stands(borrowed, night).state == "accepted"


def test_what_failed_for_another_reason_stays_failed_when_it_is_tried_again(
    borrowed: Hub, night: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_to("land", night)
    shutil.rmtree(borrowed.settings.home / "spool")
    with pytest.raises(SourceUnavailable, match="nothing whole was fetched"):
        scheduled.land(STEM, night)
    for verb in ("land", "parse", "gate"):
        with pytest.raises(HubError, match="nothing whole was fetched") as told:
            getattr(scheduled, verb)(STEM, night)
        assert not told.value.is_transient, "no scheduler tries it again"
    assert stands(borrowed, night).state == "failed"
    borrowed.night(2)  # from the beginning
    oracle.same_fingerprint(borrowed.fingerprint(), borrowed.reports[2].fingerprint)  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", ["fetch", "land", "parse", "gate"])
def test_a_source_whose_session_is_cut_off_says_so_and_goes_on_where_it_was(borrowed: Hub, night: str, verb: str) -> None:
    """The session that takes the source for a verb: nothing of the verb's own has begun, and nothing could note that it failed."""
    hub, day = borrowed, scheduled._day(night)
    number = {"fetch": 1, "land": 2, "parse": 3, "gate": 4}[verb]
    fences = 0

    def here(_: int, __: str, sentence: str) -> bool:
        nonlocal fences
        fences += sentence.startswith("INSERT INTO ops.fence")
        return sentence.startswith("INSERT INTO ops.fence") and fences == number + 1  # the first is the night's own

    with cut_off(hub, here):
        found = run.run(hub.settings, day, only=STEM)
    assert (found.sources[STEM]["state"], found.sources[STEM]["error"]) == ("failed", "PostgreSQL does not answer or broke off")
    assert found.exit_code(STEM) == 3
    before = stands(hub, night)
    assert before.resumes_from == {"fetch": "pending", "land": "fetched", "parse": "landed", "gate": "parsed"}[verb]
    hub.night(2)
    assert verb not in ("parse", "gate") or stands(hub, night).delivery_id == before.delivery_id
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)  # type: ignore[attr-defined]

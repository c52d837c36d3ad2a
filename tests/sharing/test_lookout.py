"""Unusual access is raised by itself: once, in whatever pieces the log is looked at, and until somebody has reviewed it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hub import settings as hub_settings
from hub.dates import CHINA
from hub.errors import ConfigError
from hub.settings import CHECKOUT
from pipeline.cli.main import app
from pipeline.status import status
from sharing import keys, lookout, service, unusual
from sharing.unusual import Bounds
from tests.examples import examples
from tests.sharing.conftest import Log
from warehouse import client_days, disclosure
from warehouse import unusual as findings

pytestmark = pytest.mark.slow
DAY = date(2026, 3, 10)  # a Tuesday
LOW = Bounds(
    volume=2, least=4, misses=0.3, refusals=3, off_hours=3, one_person=3, neighbours=3, neighbours_share=0.5, household=4, household_entries=6,
    household_days=2, surname=2, surname_times=1.0,
)  # fmt: skip


@dataclass
class Lookout(Log):
    """That log, as it is looked at."""

    def look(self, bounds: Bounds | None = None) -> int:
        return lookout.look(self.pool.settings, bounds)

    def whole(self, client: str, day: date, bounds: Bounds) -> dict[str, int]:
        """What the whole log, read anew, says of a client's day."""
        with self.pool.engine.connect() as connection:
            return {u.rule: u.found for u in unusual.found(connection, self.pool.settings, day, bounds) if u.client_id == client}

    def kept(self, client: str, *, open_only: bool = True) -> list[findings.Finding]:
        with self.pool.engine.connect() as connection:
            return [f for f in findings.listed(connection, open_only=open_only) if f.client_id == client]

    def rules(self, client: str) -> dict[str, int]:
        return {f.rule: f.found for f in self.kept(client)}

    def review(self, finding: findings.Finding, what: str = "justified") -> findings.Finding:
        with self.pool.engine.begin() as connection:
            return findings.review(connection, finding.unusual_id, by="李工", finding=what, words="a roster was checked by hand")


@pytest.fixture(scope="module")
def log(dated: Log) -> Iterator[Lookout]:
    """Operators named on the days of these tests are long past by the clock, and are not forgotten meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "_OPERATORS_KEPT_DAYS", 100_000)
        yield Lookout(dated.pool)


@dataclass(frozen=True)
class People:
    """Persons of the county by what they have in common."""

    village: list[str]
    home: list[str]
    namesakes: list[str]
    anybody: list[str]
    surname: str


@pytest.fixture(scope="module")
def people(log: Lookout) -> People:
    def ids(query: str, **values: Any) -> list[str]:
        return [r[0] for r in log.pool.rows(query, **values)]

    (village,) = log.pool.rows(
        "SELECT area_code FROM core.person WHERE area_code ~ '^[0-9]{9}(?!000)[0-9]{3}$' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    )[0]
    home = ids(
        "SELECT household_id::text FROM core.household_member GROUP BY 1 HAVING count(*) BETWEEN 2 AND 4 ORDER BY count(*) DESC, 1 LIMIT 1"
    )[0]
    surname = ids(
        "SELECT left(name, 1) FROM core.person WHERE name ~ '^[一-龥]{2,3}$' GROUP BY 1 HAVING count(*) BETWEEN 9 AND 30 ORDER BY count(*), 1"
    )[0]
    elsewhere = "area_code IS NOT NULL AND area_code <> :v AND name !~ ('^' || :s)"
    return People(
        ids("SELECT person_id::text FROM core.person WHERE area_code = :v ORDER BY 1 LIMIT 14", v=village),
        ids("SELECT person_id::text FROM core.household_member WHERE household_id = CAST(:h AS uuid) ORDER BY 1", h=home),
        ids("SELECT person_id::text FROM core.person WHERE starts_with(name, :s) ORDER BY 1 LIMIT 9", s=surname),
        ids(f"SELECT min(person_id::text) FROM core.person WHERE {elsewhere} GROUP BY area_code ORDER BY 1 LIMIT 60", v=village, s=surname),
        surname,
    )  # fmt: skip


def nobody(n: int) -> list[str]:
    return [str(uuid4()) for _ in range(n)]


def turned(log: Lookout) -> None:
    """One turn of the service's."""
    log.pool.http.portal.call(log.pool.http.app.state.service.look_out)  # type: ignore[union-attr, attr-defined]


@pytest.mark.parametrize("rule", [*unusual.RULES])
def test_each_rule_is_raised_by_the_services_own_turn(log: Lookout, people: People, rule: str) -> None:
    desk, many = log.client(), [people.anybody[n % len(people.anybody)] for n in range(60)]
    match rule:
        case "volume":
            for n in range(6, 0, -1):
                log.add(desk, DAY - timedelta(days=n), *people.anybody[:5], asked="compare")
            log.add(desk, DAY, *many, asked="compare")
        case "misses":
            log.add(desk, DAY, *nobody(30), decision="not_available")
            log.add(desk, DAY, *many[:25], asked="compare")
        case "refusals":
            log.add(desk, DAY, *[None] * 10, decision="purpose-not-granted")
        case "off_hours":
            log.add(desk, DAY, *many[:20], asked="compare", hour=23)
        case "one_person":
            log.add(desk, DAY, *[people.anybody[0]] * 15)
        case "neighbours":
            assert len(people.village) >= 12
            log.add(desk, DAY, *people.village)
        case "household":
            log.add(desk, DAY, *(people.home[n % 2] for n in range(16)))
        case "surname":
            log.add(desk, DAY, *people.namesakes, by=f"{people.surname}工")
        case "unnamed":
            log.add(desk, DAY, people.anybody[0], by=None)
    turned(log)
    kept = {f.rule: f for f in log.kept(desk)}
    assert {r: f.found for r, f in kept.items()} == log.whole(desk, DAY, Bounds()) and rule in kept
    assert kept[rule].found >= kept[rule].bound and (kept[rule].first_day, kept[rule].days) == (DAY, 1)
    mine = log.pool.rows("SELECT min(leaf_index), max(leaf_index) FROM audit.entry WHERE client_id = :c AND at::date >= :d", c=desk, d=DAY)[
        0
    ]
    assert kept[rule].first_leaf <= mine[1] and kept[rule].last_leaf <= mine[1]
    turned(log)
    assert log.rules(desk) == {r: f.found for r, f in kept.items()}, "nothing came, nothing changed"


_DECISIONS = ("told", "told", "told", "not_available", "purpose-not-granted")
_PIECES = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.sampled_from(["village", "home", "namesakes", "anybody"]), st.integers(0, 3), st.integers(1, 5),
            st.sampled_from(_DECISIONS), st.sampled_from(["person", "compare"]), st.sampled_from([3, 10, 10]), st.sampled_from(["赵工", "namesake", None]),
        ),
        max_size=4,
    ),
    min_size=1, max_size=9,
)  # fmt: skip


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(pieces=_PIECES, nights=st.lists(st.booleans(), min_size=9, max_size=9))
def test_looked_at_piece_by_piece_the_log_says_what_it_says_read_whole(
    log: Lookout, people: People, pieces: Any, nights: list[bool]
) -> None:
    """The oracle reads the log from its beginning after each piece; what it ever said is what is kept, with the most it said."""
    log.look(LOW)
    clients, day = (log.client(), log.client()), DAY
    said: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], set[date]] = {}
    for piece, is_next_day in zip(pieces, nights, strict=False):
        day += timedelta(days=is_next_day)
        for who, of, first, n, decision, kind, hour, by in piece:
            persons = getattr(people, of)
            subjects = [persons[(first + i // 2) % len(persons)] for i in range(n)]
            log.add(
                clients[who], day, *subjects, decision=decision, asked=kind, hour=hour, by=f"{people.surname}工" if by == "namesake" else by
            )
        new = log.look(LOW)
        before = set(said)
        for client in {clients[who] for who, *_ in piece}:
            for rule, n in log.whole(client, day, LOW).items():
                said[client, rule] = max(n, said.get((client, rule), 0))
                last.setdefault((client, rule), set()).add(day)
        assert new == len(said.keys() - before)
    kept = {(f.client_id, f.rule): f for client in clients for f in log.kept(client)}
    assert {key: f.found for key, f in kept.items()} == said
    assert {key: (f.first_day, f.last_day, f.days) for key, f in kept.items()} == {k: (min(d), max(d), len(d)) for k, d in last.items()}
    with log.pool.engine.connect() as connection:
        anew = client_days.from_log(connection, datetime.combine(day + timedelta(days=1), time(), CHINA), 60)
        held = client_days.kept(connection, list(clients), day, 60)
    assert [r for r in anew if r.client_id in clients] == held


def test_it_grows_while_it_goes_on_and_what_was_reviewed_is_not_raised_again(log: Lookout, people: People) -> None:
    desk = log.client()
    log.add(desk, DAY, *[people.anybody[0]] * 15)
    assert log.look() == 1
    log.add(desk, DAY, *[people.anybody[0]] * 3)
    log.add(desk, DAY + timedelta(days=1), *[people.anybody[1]] * 16)
    assert log.look() == 0
    (first,) = log.kept(desk)
    assert (first.rule, first.found, first.first_day, first.last_day, first.days) == ("one_person", 18, DAY, DAY + timedelta(days=1), 2)
    log.review(first)
    assert log.look() == 0 and log.kept(desk) == []
    log.add(desk, DAY + timedelta(days=1), *[people.anybody[1]] * 14)
    assert log.look() == 0 and log.kept(desk) == [], "thirty in all, fourteen since it was reviewed"
    log.add(desk, DAY + timedelta(days=1), people.anybody[1])
    assert log.look() == 1
    (second,) = log.kept(desk)
    assert (second.found, second.first_leaf, second.first_day) == (15, first.last_leaf + 1, DAY + timedelta(days=1))
    assert [f.unusual_id for f in log.kept(desk, open_only=False)] == [first.unusual_id, second.unusual_id]
    assert (log.kept(desk, open_only=False)[0].finding, log.kept(desk, open_only=False)[0].reviewed_by) == ("justified", "李工")


def test_a_day_after_the_review_is_raised_anew_by_that_days_own_number(log: Lookout) -> None:
    desk = log.client()
    log.add(desk, DAY, *[None] * 12, decision="purpose-not-granted")
    log.look()
    (first,) = log.kept(desk)
    log.review(first, "unjustified")
    log.add(desk, DAY + timedelta(days=1), *[None] * 9, decision="purpose-not-granted")
    assert log.look() == 0
    log.add(desk, DAY + timedelta(days=1), *[None] * 2, decision="purpose-not-granted")
    assert log.look() == 1 and log.rules(desk) == {"refusals": 11}


def test_of_days_looked_at_together_those_that_were_reviewed_count_no_more(log: Lookout, people: People) -> None:
    desk = log.client()
    for n in range(5):
        log.add(desk, DAY + timedelta(days=n), *[people.home[0]] * 5)
        log.look()
    (first,) = log.kept(desk)
    assert (first.rule, first.found) == ("household", 25)
    log.review(first)
    for n in range(5, 9):
        log.add(desk, DAY + timedelta(days=n), *[people.home[0]] * 5)
        assert log.look() == 0
    log.add(desk, DAY + timedelta(days=9), *[people.home[0]] * 5)
    assert log.look() == 1 and log.rules(desk) == {"household": 25}
    assert log.kept(desk)[0].first_leaf == first.last_leaf + 1


def test_a_client_that_was_found_to_have_nobody_to_name_is_left_alone_for_half_a_year(log: Lookout, people: People) -> None:
    fine, told_off = log.client(), log.client()
    for desk in (fine, told_off):
        log.add(desk, DAY, people.anybody[0], by=None)
    log.look()
    log.review(log.kept(fine)[0], "justified")
    log.review(log.kept(told_off)[0], "unjustified")
    for desk in (fine, told_off):
        log.add(desk, DAY + timedelta(days=1), people.anybody[0], by=None)
    log.look()
    assert (log.rules(fine), log.rules(told_off)) == ({}, {"unnamed": 1})
    log.add(fine, datetime.now(CHINA).date() + timedelta(days=181), people.anybody[0], by=None)
    log.look()
    assert log.rules(fine) == {"unnamed": 1}


def test_a_finding_is_reviewed_once_and_by_its_id(log: Lookout) -> None:
    desk = log.client()
    log.add(desk, DAY, *[None] * 10, decision="purpose-not-granted")
    log.look()
    (found,) = log.kept(desk)
    log.review(found)
    with pytest.raises(ConfigError, match="reviewed by"):
        log.review(found)
    with pytest.raises(ConfigError, match="0 findings"):
        log.review(replace(found, unusual_id="none-of-that"))
    with pytest.raises(ConfigError, match="findings begin"):
        log.review(replace(found, unusual_id=""))


def test_killed_before_its_end_it_has_looked_at_nothing_and_the_next_finds_it_once(log: Lookout) -> None:
    desk, pool = log.client(), log.pool
    log.add(desk, DAY, *[None] * 10, decision="purpose-not-granted")
    looked_at = pool.rows("SELECT size FROM share.unusual_look")
    url = pool.settings.database_url.get_secret_value()  # type: ignore[union-attr]
    environment = {**os.environ, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": url}
    waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE share.unusual_look%')"
    with pool.engine.connect() as connection:
        connection.execute(sa.text("SELECT size FROM share.unusual_look FOR UPDATE"))  # its last step waits for this
        child = subprocess.Popen([sys.executable, "-m", "pipeline.cli", "audit", "unusual", "scan"], cwd=CHECKOUT, env=environment)
        while not pool.rows(waits)[0][0]:
            assert child.poll() is None, "it ended before its last step"
        assert log.look() == 0, "one looks at a time"
        child.send_signal(signal.SIGKILL)
        child.wait()
        connection.rollback()
    ended = "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    while not pool.rows(ended)[0][0]:
        pass
    assert log.kept(desk) == [] and pool.rows("SELECT size FROM share.unusual_look") == looked_at
    assert log.look() == 1 and log.rules(desk) == {"refusals": 10}
    assert log.look() == 0 and log.rules(desk) == {"refusals": 10}


def test_no_role_of_a_department_and_not_the_service_may_read_what_was_found(log: Lookout) -> None:
    with log.pool.engine.connect() as connection:
        login = disclosure.login_name(connection)
        roles = connection.scalars(sa.text("SELECT rolname FROM pg_roles WHERE starts_with(rolname, current_database() || '_')")).all()
        assert login in roles and len(roles) > 5
        for role in roles:
            for table in ("share.unusual", "share.client_day", "share.unusual_look"):
                connection.execute(sa.text(f'SET LOCAL ROLE "{role}"'))
                with pytest.raises(sa.exc.ProgrammingError) as refused:
                    connection.execute(sa.text(f"SELECT * FROM {table}"))
                assert isinstance(refused.value.orig, psycopg2.errors.InsufficientPrivilege)
                connection.rollback()


def test_status_counts_what_waits_and_the_command_lists_and_reviews_it(log: Lookout, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = log.client()
    log.add(desk, DAY, *[None] * 11, decision="purpose-not-granted")
    log.look()
    monkeypatch.setenv("HUB_HOME", str(log.pool.settings.home))
    monkeypatch.setenv("HUB_DATABASE_URL", log.pool.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    hub_settings.get_settings.cache_clear()

    def hub(*words: str) -> Any:
        return CliRunner().invoke(app, ["audit", "unusual", *words])

    try:
        (waiting,) = status(log.pool.settings).unusual
        rows = json.loads(hub("--json").stdout)
        assert (waiting.department, waiting.findings) == ("civil_affairs", len(rows)) and waiting.clients == len(
            {r["client_id"] for r in rows}
        )
        (mine,) = [r for r in rows if r["client_id"] == desk]
        assert (mine["rule"], mine["found"], mine["bound"], mine["finding"]) == ("refusals", 11, 10, None)
        shown = hub().stdout
        assert desk in shown and "待复核 to be reviewed" in shown and "多次请求未获授权的用途或方式" in shown
        assert hub("review", mine["unusual_id"]).exit_code == 1, "what was found must be one of two words"
        assert hub("review", mine["unusual_id"], "--finding", "unjustified").exit_code == 1, "and be explained"
        done = hub("review", mine["unusual_id"][:36], "--finding", "unjustified", "--words", "a program gone wild", "--by", "李工").stdout
        assert "不当 unjustified" in done and f"hub client revoke {desk}" in done
        assert desk not in hub().stdout and desk in hub("--all").stdout
        assert status(log.pool.settings).unusual[0].findings == len(rows) - 1
        of_the_day = json.loads(hub("--date", str(DAY), "--json").stdout)
        assert {"refusals"} == {r["rule"] for r in of_the_day if r["client_id"] == desk}, "the day is what it was"
        assert desk in hub("--date", str(DAY)).stdout
    finally:
        hub_settings.get_settings.cache_clear()


def test_it_holds_no_person_and_no_operator(log: Lookout, people: People) -> None:
    desk = log.client()
    log.add(desk, DAY, *people.namesakes, *people.home * 8, by=f"{people.surname}工")
    log.look()
    assert {"surname", "household"} <= log.rules(desk).keys()
    dump = "".join(str(r) for t in ("unusual", "client_day") for r in log.pool.rows(f"SELECT to_jsonb(t)::text FROM share.{t} t"))
    pseudonyms = keys.Pseudonyms(log.pool.settings)
    persons = {*people.namesakes, *people.home}
    assert people.surname not in dump and not [p for p in persons if p in dump or pseudonyms.of(p).hex() in dump]


def test_persons_asked_for_one_at_a_time_are_found_by_their_index(log: Lookout) -> None:
    """The condition of the index is written down in the query a second time; another wording would read the log."""
    found: list[str] = []

    def explained(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "split_part" in statement and not statement.startswith("EXPLAIN"):
            with connection.connection.cursor() as own:
                own.execute("SET LOCAL enable_seqscan = off")
                own.execute(f"EXPLAIN {statement}", parameters)
                found.extend(row[0] for row in own.fetchall())

    sa.event.listen(log.pool.engine, "before_cursor_execute", explained)
    try:
        log.add(desk := log.client(), DAY, *nobody(2))
        log.look()
    finally:
        sa.event.remove(log.pool.engine, "before_cursor_execute", explained)
    assert any("entry_singly" in line for line in found), (desk, found)

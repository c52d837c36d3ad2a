"""A person is erased by law: nothing of its values is anywhere, everybody else's stand, and what comes again is kept out."""

import contextlib
import dataclasses
import io
import uuid
from collections.abc import Callable, Collection, Iterator
from datetime import date

import polars as pl
import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from pipeline import erasure, identify, readers, rulings, run
from schemas.contract import load_contract, load_contracts
from tests import oracle
from tests.conftest import Hub
from warehouse import database, landing, object_keys, past, traces, vault

pytestmark = pytest.mark.slow


def someone(hub: Hub, of: str, *, number: int = 0) -> str:
    """A person a condition holds for."""
    with database.engine(hub.settings).connect() as connection:
        return str(
            connection.scalars(sa.text(f"SELECT person_id FROM core.person p WHERE {of} ORDER BY person_id OFFSET {number} LIMIT 1")).one()
        )


def values_of(hub: Hub, person: str) -> set[str]:
    """Numbers, name and record keys of a person, as its records write them; keys that hold neither are nobody's value."""
    with database.engine(hub.settings).connect() as connection:
        rows = connection.execute(
            sa.text("SELECT resident_id, id_key, name FROM identity.link JOIN identity.record USING (record_id) WHERE person_id = CAST(:p AS uuid)"), {"p": person}
        ).all()  # fmt: skip
        keys = connection.scalars(
            sa.text("SELECT record_key FROM identity.link JOIN identity.record USING (record_id) WHERE person_id = CAST(:p AS uuid)"), {"p": person}
        ).all()  # fmt: skip
    return {v for row in rows for v in row if v} | set(keys)


def tables_with(hub: Hub, values: set[str]) -> dict[str, int]:
    """Tables of the warehouse in which one of some values stands, in whatever column, and how many rows of each."""
    found = {}
    with database.engine(hub.settings).connect() as connection:
        names = connection.scalars(
            sa.text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
            )
        ).all()
        for name in names:
            query = f"SELECT count(*) FROM {name} t WHERE EXISTS (SELECT FROM unnest(CAST(:values AS text[])) v WHERE position(v IN t::text) > 0)"
            if n := connection.scalar(sa.text(query), {"values": list(values)}):
                found[name] = n
    return found


def landed_with(hub: Hub, values: set[str]) -> list[str]:
    """Deliveries whose object holds one of some values, read as their agency's rows."""
    with database.engine(hub.settings).connect() as connection:
        deliveries = landing.deliveries(connection)
    contracts = load_contracts()
    found = []
    for delivery in deliveries:
        for raw in readers.delivered(hub.settings, contracts[delivery.stem], delivery):
            columns = [c for c in raw.columns if raw[c].dtype == pl.String]
            if raw.height and any(raw[c].str.contains_any(list(values)).any() for c in columns):
                found.append(f"{delivery.stem} {delivery.business_date}")
                break
    return found


def own_of(hub: Hub, person: str) -> set[str]:
    """Values of a person that are nobody else's and too long to come about by chance: numbers, keys, telephones."""
    with database.engine(hub.settings).connect() as connection:
        phones = connection.scalars(
            sa.text(
                "SELECT phone_key FROM identity.record GROUP BY 1 HAVING bool_and(record_id IN (SELECT record_id FROM identity.link"
                " WHERE person_id = CAST(:p AS uuid)))"
            ),
            {"p": person},
        ).all()
    return {v for v in (*values_of(hub, person), *phones) if v and v.isascii() and len(v) >= 9}


def figures_with(hub: Hub, values: set[str]) -> int:
    """Columns of which the planner keeps one of some values."""
    with database.engine(hub.settings).connect() as connection:
        query = (
            "SELECT count(*) FROM pg_stats s WHERE EXISTS (SELECT FROM unnest(CAST(:values AS text[])) v WHERE position(v IN s::text) > 0)"
        )
        return int(connection.scalar(sa.text(query), {"values": list(values)}) or 0)


def files_with(hub: Hub, values: set[str]) -> list[str]:
    """Files of the database, and of its log, in which one of some values stands in clear, in use or not."""
    with database.engine(hub.settings).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("CHECKPOINT"))
        own = connection.scalar(sa.text("SELECT oid FROM pg_database WHERE datname = current_database()"))
        names = connection.execute(
            sa.text("SELECT pg_relation_filenode(oid)::text, oid::regclass::text FROM pg_class WHERE relfilenode > 0")
        )
        tables = {row[0]: row[1] for row in names}
    found, data = [], hub.settings.home / "postgres"
    sought = [v.encode() for v in values]
    for path in sorted([*(data / "base" / str(own)).iterdir(), *(data / "pg_wal").glob("0*")]):
        with contextlib.suppress(FileNotFoundError):  # one the server removes at this moment
            content = path.read_bytes()
            if any(v in content for v in sought):
                found.append(tables.get(path.name.partition(".")[0], path.name))
    return found


class Weighed:
    """Tables as they are measured, some of them larger than they are."""

    def __init__(self, measured: Callable[..., list[traces.Table]], sizes: dict[str, int]) -> None:
        self.measured, self.sizes, self.asked = measured, sizes, 0

    def __call__(self, connection: sa.Connection, names: Collection[str]) -> list[traces.Table]:
        self.asked += 1
        return [traces.Table(t.name, self.sizes.get(t.name, t.size_bytes)) for t in self.measured(connection, names)]


def erase(hub: Hub, person: str, **said: str) -> erasure.Erasure:
    told = {"basis": "consent", "reason": "decision 2026/17", "by": "王工", "confirmed_by": "李工", **said}
    return erasure.carry_out(hub.settings, person, confirm=erasure.plan(hub.settings, person).confirm, **told)  # type: ignore[arg-type]


@pytest.fixture
def five(borrowed: Hub) -> Iterator[Hub]:
    """Five nights, and landing as it lay after them: what an erasure destroys there is put back for the next story."""
    borrowed.restore("night_5")
    with borrowed.landing_kept():
        yield borrowed


_WELL_KNOWN = "cardinality(sources) >= 3 AND resident_id IS NOT NULL AND length(name) >= 3"


def test_no_value_of_an_erased_person_is_left_anywhere_and_the_former_bytes_cannot_be_opened(five: Hub) -> None:
    hub, person = five, someone(five, _WELL_KNOWN)
    values = values_of(hub, person)
    assert len(tables_with(hub, values)) > 3 and landed_with(hub, values)
    with database.engine(hub.settings).connect() as connection:
        before = {d.delivery_id: d for d in landing.deliveries(connection)}
        salts = object_keys.salts(connection)
        others = connection.scalar(sa.text("SELECT count(*) FROM core.person"))
        # What a department registered about the person.
        connection.execute(sa.text("INSERT INTO share.client (client_id, department, title) VALUES ('desk', 'housing_bureau', 'x')"))
        connection.execute(
            sa.text(
                "INSERT INTO share.consent (client_id, department, purpose, resident_id, reference, valid_during) SELECT 'desk', 'housing_bureau', 'housing_aid',"
                " resident_id, 'SQ-1', daterange('2026-01-01', '2026-12-31') FROM core.person WHERE person_id = CAST(:person AS uuid)"
            ),
            {"person": person},
        )
        connection.commit()
    copies = {d.object: (hub.settings.home / "landing" / d.object).read_bytes() for d in before.values()}

    done = erase(hub, person)

    assert done.finished_at is not None and done.records >= 3
    assert tables_with(hub, values) == {} and landed_with(hub, values) == []
    hub.fingerprint()  # fails unless what is kept is what is counted
    with database.engine(hub.settings).connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM core.person")) == others - 1
        after = {d.delivery_id: d for d in landing.deliveries(connection)}
        left = object_keys.salts(connection)
    assert {d: v.sha256 for d, v in after.items()} == {d: v.sha256 for d, v in before.items()}, "what was sent is still told by its hash"
    rewritten = [before[d].object for d, v in after.items() if v.is_retained]
    assert rewritten
    for name in rewritten:
        assert name not in left and not (hub.settings.home / "landing" / name).exists()
        for key in (hub.settings.landing_key_bytes(), *(object_keys.derived(hub.settings.landing_key_bytes(), s) for s in left.values())):
            with pytest.raises(vault.VaultDamaged):
                list(vault.unseal(io.BytesIO(copies[name]), key, where="a copy kept elsewhere"))
        assert list(vault.unseal(io.BytesIO(copies[name]), object_keys.derived(hub.settings.landing_key_bytes(), salts[name]), where="-"))
    for ask in (hub.invoked("person", person), hub.invoked("person", person, "--as-of", "2026-03-02")):
        assert ask.returncode == 2 and "erased by law" in ask.stderr, ask.stderr
    feed = hub.invoked("changes", "--since", "5")
    assert feed.returncode == 0 and "依法删除" in feed.stdout, feed.stderr


def test_neither_the_planners_figures_nor_the_databases_files_hold_a_value_of_an_erased_person(five: Hub) -> None:
    hub, person = five, someone(five, _WELL_KNOWN, number=6)
    values = own_of(hub, person)
    with database.engine(hub.settings).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # The planner keeps every value of this column, as of a hundred it keeps one by chance.
        connection.execute(sa.text("ALTER TABLE identity.record ALTER COLUMN record_key SET STATISTICS 10000"))
        connection.execute(sa.text("ANALYZE identity.record"))
    n_figures, files = figures_with(hub, values), files_with(hub, values)
    assert n_figures and len(files) > 5, "what is looked for is there to be found"

    done = erase(hub, person)

    assert done.is_whole and erasure.traced(hub.settings) == []
    own = {v for v in values if not tables_with(hub, {v})}  # a telephone may be another's as well, who gave it as a guardian's
    assert len(own) >= 4 and len(values - own) <= 1
    n_figures, files = figures_with(hub, own), files_with(hub, own)  # counted here, so that no value is in what a failure prints
    assert (n_figures, files) == (0, [])


def test_a_table_that_somebody_reads_or_that_is_large_is_told_and_written_anew_later(five: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, person = five, someone(five, _WELL_KNOWN, number=7)
    values = own_of(hub, person)
    monkeypatch.setattr(traces, "_WAIT_FOR_TABLE_S", 1)
    monkeypatch.setattr(traces, "AT_ONCE_BYTES", 10 * 2**20)
    monkeypatch.setattr(traces, "measured", weighed := Weighed(traces.measured, {"identity.record": 11 * 2**20}))
    with database.engine(hub.settings).connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM core.person"))
        done = erase(hub, person)
    assert done.finished_at is not None and done.traces_in == ["core.person", "identity.record"]
    assert [t.name for t in erasure.traced(hub.settings)] == done.traces_in and not done.is_whole
    values = {v for v in values if not tables_with(hub, {v})}
    n_figures, files = figures_with(hub, values), files_with(hub, values)
    assert n_figures == 0 and "identity.record" in files
    assert "2 表文件待清" in hub.invoked("erasure", "list").stdout
    assert "erasures not whole" in hub.screen(date(2026, 3, 5))
    told = hub.invoked("erasure", "finish")  # of the two, the small one is done at once
    assert told.returncode == 0 and "identity.record" in told.stdout and "core.person" not in told.stdout
    assert "hub erasure finish --rewrite" in told.stdout
    told = hub.invoked("erasure", "finish", "--rewrite")
    assert told.returncode == 0 and "no traces" in told.stdout, told.stderr
    files = files_with(hub, values)
    assert files == [] and weighed.asked
    assert erasure.listed(hub.settings)[0].is_whole
    assert "erasures not whole" not in hub.screen(date(2026, 3, 5))


def test_nothing_is_written_anew_while_somebody_looks_at_the_pool_as_it_was(five: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, person = five, someone(five, _WELL_KNOWN, number=8)
    monkeypatch.setattr(traces, "_WAIT_FOR_READERS_S", 0.5)
    with database.engine(hub.settings).connect().execution_options(isolation_level="REPEATABLE READ") as reader:
        reader.execute(sa.text("SELECT 1 FROM ops.night"))  # its rows are none of the person's, and yet a copy would take them along
        done = erase(hub, person)
        assert done.finished_at is not None and len(done.traces_in) > 20
    assert erasure.finish(hub.settings) == 0
    assert erasure.traced(hub.settings) == []


def test_erased_later_or_kept_out_from_the_first_night_on_is_the_same_pool(five: Hub) -> None:
    hub, person = (
        five,
        someone(
            five,
            f"{_WELL_KNOWN} AND EXISTS (SELECT FROM history.record h JOIN identity.link l USING (record_id) WHERE l.person_id = p.person_id)",
        ),
    )
    erase(hub, person)
    erased = hub.fingerprint()
    (entry,) = erasure.registered(hub.settings)
    hub.restore("night_0")
    know_of(hub, entry)
    for n in range(1, 6):
        report = hub.night(n)
    oracle.same_fingerprint(report.fingerprint, hub.fingerprint(), erased)


def know_of(hub: Hub, entry: dict[str, object]) -> None:
    """Let a pool know of an erasure before it ever saw the person."""
    with database.engine(hub.settings).begin() as connection:
        erasure.erasures.add(connection, entry, [], publication=0)


def test_what_is_sent_again_is_kept_out_the_books_balance_and_landing_holds_nothing_of_it(five: Hub) -> None:
    hub, person = five, someone(five, f"{_WELL_KNOWN} AND 'education' = ANY(sources)")
    values = values_of(hub, person)
    erase(hub, person)
    books = hub.night(8).sources["education"]  # the weekly snapshot shows everybody again
    assert books["state"] == "ok" and books["erased"] == 1
    assert books["delivered"] == sum(books[k] for k in ("rejected", "quarantined", "unchanged", "inserted", "updated", "past", "erased"))
    assert tables_with(hub, values) == {} and landed_with(hub, values) == []
    before = hub.fingerprint()
    with database.engine(hub.settings).connect() as connection:
        delivery = landing.deliveries(connection, stem="education")[0]
    assert delivery.is_retained
    again = run.replay(hub.settings, delivery.delivery_id)
    assert again.sources["education"]["erased"] == 1
    oracle.same_fingerprint(hub.fingerprint(), before)
    assert "删除" in hub.screen(date(2026, 3, 8))


def test_everybody_elses_past_is_what_it_was(five: Hub) -> None:
    hub, person = five, someone(five, _WELL_KNOWN, number=3)
    other = someone(
        hub,
        f"{_WELL_KNOWN} AND person_id <> '{person}' AND EXISTS (SELECT FROM history.record h JOIN identity.link l USING (record_id) WHERE l.person_id = p.person_id)",
    )

    def told() -> list[dict[str, object]]:
        with database.engine(hub.settings).connect() as connection:
            days = (date(2026, 3, 1), date(2026, 3, 3), date(2026, 3, 5))
            found = [past.moment(connection, as_of=d, known_at=None) for d in days]
            known_then = [dataclasses.replace(m, number=5, night=min(m.night, 5), published_at=None) for m in found]
            return [past.person(connection, other, moment, identify.homes_rule(hub.settings.pool_id)) for moment in known_then]

    before = told()
    erase(hub, person)
    is_the_same = told() == before  # compared here, so that no value is in what a failure prints
    assert is_the_same


def test_a_guardian_who_is_erased_is_no_longer_named_in_the_childs_record(five: Hub) -> None:
    hub = five
    field = load_contract("education").by_concept("guardian.resident_id").name  # type: ignore[union-attr]
    person = someone(
        hub, f"length(name) >= 3 AND EXISTS (SELECT FROM core.education e WHERE e.{field} = p.resident_id AND e.withdrawn_date IS NULL)"
    )
    values = values_of(hub, person)
    with database.engine(hub.settings).connect() as connection:
        child = connection.scalar(sa.text(f"SELECT record_key FROM core.education WHERE {field} = ANY(:v) LIMIT 1"), {"v": list(values)})
    erase(hub, person)
    assert tables_with(hub, {v for v in values if len(v) >= 15}) == {} and landed_with(hub, {v for v in values if len(v) >= 15}) == []
    assert hub.night(8).sources["education"]["state"] == "ok"
    with database.engine(hub.settings).connect() as connection:
        row = connection.execute(sa.text(f"SELECT {field}, changed_date FROM core.education WHERE record_key = :k"), {"k": child}).one()
    assert row[0] is None
    assert landed_with(hub, {v for v in values if len(v) >= 15}) == [], "the snapshot that names it again is put down without"


def test_an_erasure_that_is_broken_off_in_landing_is_finished_by_the_next_night(five: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, person = five, someone(five, _WELL_KNOWN, number=5)
    values = values_of(hub, person)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(erasure, "_replace", killed)
        erase(hub, person)
    (half,) = erasure.listed(hub.settings)
    assert half.finished_at is None and tables_with(hub, values) == {} and landed_with(hub, values)
    assert "待清" in hub.invoked("erasure", "list").stdout
    hub.night(6)
    (whole,) = erasure.listed(hub.settings)
    assert whole.finished_at is not None and landed_with(hub, values) == []


def test_a_delivery_taken_out_or_let_in_later_does_not_bring_an_erased_person_back(five: Hub) -> None:
    hub, person = five, someone(five, f"{_WELL_KNOWN} AND 'health' = ANY(sources)", number=2)
    values = values_of(hub, person)
    erase(hub, person)
    with database.engine(hub.settings).connect() as connection:
        delivery = landing.deliveries(connection, stem="health")[0].delivery_id
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    rulings.withdraw(hub.settings, delivery, reason="wrong file", by="one", confirm=tried.confirm)
    assert tables_with(hub, values) == {}
    rulings.release(hub.settings, delivery, reason="the right one after all", by="one")
    assert tables_with(hub, values) == {}


def test_a_key_that_its_agency_gave_to_somebody_else_since_is_that_persons_now(five: Hub) -> None:
    hub, person = five, someone(five, f"{_WELL_KNOWN} AND NOT 'education' = ANY(sources)", number=4)
    with database.engine(hub.settings).begin() as connection:
        key, before = connection.execute(
            sa.text("SELECT record_key, row_hash FROM core.education WHERE withdrawn_date IS NULL ORDER BY 1 LIMIT 1")
        ).one()
        was = str(uuid.uuid4())
        connection.execute(
            sa.text(
                "INSERT INTO history.link (record_id, known_during, row) VALUES (CAST(:was AS uuid), int8range(1, 2), jsonb_build_object('person_id', CAST(:person AS text)))"
            ),
            {"was": was, "person": person},
        )
        connection.execute(
            sa.text(
                "INSERT INTO history.record (record_id, stem, record_key, valid_during, is_withdrawn, row_hash, row, traits, changed_date, delivery_id, known_from,"
                " open_until) SELECT CAST(:was AS uuid), 'education', record_key, daterange('2026-02-01', '2026-02-02'), false, row_hash, '{}', '{}', changed_date,"
                " delivery_id, 1, 2 FROM core.education WHERE record_key = :key"
            ),
            {"was": was, "key": key},
        )
    assert erasure.plan(hub.settings, person).records["education"] == 1, "what the person once had is its own"
    erase(hub, person)
    with database.engine(hub.settings).connect() as connection:
        assert connection.scalar(sa.text("SELECT row_hash FROM core.education WHERE record_key = :key"), {"key": key}) == before
        assert not connection.scalar(
            sa.text("SELECT EXISTS (SELECT FROM history.record WHERE record_id = CAST(:was AS uuid))"), {"was": was}
        )
    assert hub.night(8).sources["education"]["erased"] == 0, "and is not kept out"


def test_lifted_the_person_comes_in_again_with_the_next_full_delivery_under_a_new_id(five: Hub) -> None:
    hub, person = five, someone(five, f"{_WELL_KNOWN} AND 'education' = ANY(sources)", number=1)
    values = values_of(hub, person)
    done = erase(hub, person)
    with pytest.raises(ConfigError, match="why must be said"):
        erasure.lift(hub.settings, done.erasure_id, by="王工", reason=" ")
    erasure.lift(hub.settings, done.erasure_id[:13], by="王工", reason="applied for help anew")
    with pytest.raises(ConfigError, match="lifted on"):
        erasure.lift(hub.settings, done.erasure_id, by="王工", reason="again")
    assert hub.night(8).sources["education"]["erased"] == 0
    with database.engine(hub.settings).connect() as connection:
        again = connection.scalars(
            sa.text("SELECT person_id::text FROM core.education JOIN identity.link USING (record_id) WHERE record_key = ANY(:keys)"), {"keys": list(values)}
        ).all()  # fmt: skip
    assert again and set(again) != {person} and len(set(again)) == 1


def test_bad_input_is_refused_and_nothing_is_erased(five: Hub) -> None:
    hub, person = five, someone(five, _WELL_KNOWN)
    before, code = hub.fingerprint(), erasure.plan(hub.settings, person).confirm
    good = {"basis": "consent", "reason": "decision", "by": "one", "confirmed_by": "other", "confirm": code}
    for wrong, told in (
        ({"basis": "because"}, "no ground"), ({"reason": " "}, "must be said"), ({"confirmed_by": "one"}, "cannot confirm it as well"),
        ({"confirm": "00000000"}, "does not confirm"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=told):
            erasure.carry_out(hub.settings, person, **{**good, **wrong})  # type: ignore[arg-type]
    for unknown in ("00000000-0000-7000-8000-000000000000", "nobody"):
        assert hub.invoked("erasure", "plan", unknown).returncode == 2
    assert hub.fingerprint() == before and erasure.listed(hub.settings) == []
    done = hub.invoked("erasure", "carry-out", person, *(a for k, v in good.items() for a in (f"--{k.replace('_', '-')}", v)))
    assert done.returncode == 0 and "已删除" in done.stdout, done.stderr
    twice = hub.invoked("erasure", "plan", person)
    assert twice.returncode == 2 and "erased by law" in twice.stderr

"""Erasing a person by law: out of the pool and its history in one publication, out of every landed delivery after it, and kept out from then on.

Law: Personal Information Protection Law of the People's Republic of China, art. 47. What stays: ids, times, who decided it, and the log of who
was told of the person; each department that was told gets a recall.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import sqlalchemy as sa

from hub.crypto_suite import chosen
from hub.errors import ConfigError, SourceChanged, TakenOver
from hub.log import get_logger
from hub.settings import Settings
from pipeline import parsing, readers, suppression
from pipeline.suppression import ERASED, Suppression
from schemas.contract import Contract, load_contracts
from warehouse import (
    changes,
    consents,
    database,
    erasures,
    fingerprint,
    guardians,
    identity_pool,
    landing,
    ledger,
    object_keys,
    pool,
    questions,
    rulings,
    timeline,
    traces,
    weighing,
)  # fmt: skip
from warehouse.erasures import Erasure, Record
from warehouse.traces import Table

log = get_logger("erasure")
# Grounds of art. 47, in its order.
BASES = {
    "purpose": ("处理目的已实现、无法实现或者不再必要", "the purpose is achieved, cannot be achieved, or needs the data no more"),
    "retention": ("停止提供服务或者保存期限已届满", "the service has ended or the time of keeping is over"),
    "consent": ("个人撤回同意", "the person withdrew consent"),
    "unlawful": ("违反法律、行政法规或者约定处理个人信息", "the data was handled against law or agreement"),
    "law": ("法律、行政法规规定的其他情形", "another law or regulation says so"),
}


@dataclass(frozen=True)
class Plan:
    """What an erasure would take out.

    Attributes:
        records: records of the person by source, those no longer held among them.
        versions: past versions of them.
        deliveries: landed deliveries that will be read through.
        confirm: code that confirms exactly this.
    """

    person_id: str
    records: dict[str, int]
    versions: int
    deliveries: int
    confirm: str


def _found(connection: sa.Connection, contracts: dict[str, Contract], person: str) -> tuple[str, list[Record], Plan]:
    person_id = str(questions.person(connection, questions.unmerged(connection, person, "ID"))["person_id"])
    records = erasures.records_of(connection, contracts, person_id)
    by_source: dict[str, int] = {}
    for record in records:
        by_source[record.stem] = by_source.get(record.stem, 0) + 1
    versions, deliveries = erasures.extent(connection, [r.record_id for r in records])
    told = f"{person_id}|{sorted(r.record_id for r in records)}|{versions}|{ledger.publication(connection)}"
    code = hashlib.sha256(told.encode()).hexdigest()[:8]
    return person_id, records, Plan(person_id, dict(sorted(by_source.items())), versions, deliveries, code)


def plan(settings: Settings, person: str) -> Plan:
    """What erasing a person would take out; nothing is changed.

    Raises:
        ConfigError: no such person, or it is erased already.
    """
    with database.engine(settings).connect() as connection:
        return _found(connection, load_contracts(), person)[2]


@contextlib.contextmanager
def _alone(settings: Settings, stems: Sequence[str]) -> Iterator[None]:
    """While nobody is at work on any source or on the pool."""
    with contextlib.ExitStack() as held:
        for work in ("night", *(f"source {stem}" for stem in stems), "pool"):
            held.enter_context(database.alone(settings, work))
        yield


def carry_out(settings: Settings, person: str, *, basis: str, reason: str, by: str, confirmed_by: str, confirm: str) -> Erasure:
    """Erase a person; it cannot be undone.

    Broken off, it is in the pool whole or not at all; what is left to do in landing is done by the next night, or :func:`finish`.

    Args:
        settings: whose pool.
        person: id of the person.
        basis: one of :data:`BASES`.
        reason: the decision that asks for it; no value of a person.
        by: who carries it out.
        confirmed_by: another person, who confirms it.
        confirm: the code that :func:`plan` gave.

    Raises:
        ConfigError: no such person, something is missing or wrong, or the person changed since the plan.
        AlreadyRunning: a night is at work.
    """
    if basis not in BASES:
        raise ConfigError(f"there is no ground {basis!r}", where="--basis", next_step=f"one of: {', '.join(BASES)}")
    said = {"--reason": reason, "--by": by, "--confirmed-by": confirmed_by}
    for where, text in said.items():
        if not text.strip():
            raise ConfigError("this must be said", where=where)
    if by.strip() == confirmed_by.strip():
        raise ConfigError("who carries it out cannot confirm it as well", where="--confirmed-by", next_step="another person confirms")
    contracts = load_contracts()
    with _alone(settings, list(contracts)):
        with database.publishing(settings) as connection:
            person_id, records, found = _found(connection, contracts, person)
            if confirm != found.confirm:
                raise ConfigError(
                    "this code does not confirm what would be erased now", where="--confirm",
                    next_step=f"look at `hub erasure plan {person_id}`, then give the code it shows",
                )  # fmt: skip
            of_whom = suppression.over(settings, ())
            known = erasures.known_by(connection, [r.record_id for r in records])
            own = erasures.without_others(connection, contracts, records)
            marks = {of_whom.of_key(r.stem, r.record_key) for r in own} | {m for k in known for m in of_whom.of_person(*k)}
            erasure_id = str(uuid4())
            marks.add(of_whom.check(erasure_id))
            entry: dict[str, Any] = {
                "erasure_id": erasure_id, "person_id": person_id, "basis": basis, "reason": reason.strip(), "erased_by": by.strip(),
                "confirmed_by": confirmed_by.strip(), "erased_at": datetime.now(UTC),
                "marks": [{"kind": m.kind, "stem": m.stem, "mark": m.mark.hex()} for m in marks],
            }  # fmt: skip
            _erase(connection, settings, contracts, entry, records)
        finish(settings)
    with database.engine(settings).connect() as connection:
        done = erasures.one(connection, entry["erasure_id"])
    assert done is not None
    return done


def _erase(
    connection: sa.Connection, settings: Settings, contracts: dict[str, Contract], entry: dict[str, Any], records: list[Record]
) -> None:
    """Publish a pool without some records, and forget their values."""
    from pipeline import identify  # here, because processes that only fetch or judge come by and have no use for it

    night = ledger.last_night(connection, published=True)
    if night is None:
        raise ConfigError("nothing was published yet", where="ID")
    day, number = night.business_date, ledger.publication(connection) + 1
    numbers = [number for number, _ in erasures.known_by(connection, [r.record_id for r in records])]
    concerned = {stem: [r.record_id for r in records if r.stem == stem] for stem in {r.stem for r in records}}
    for stem, ids in concerned.items():
        timeline.strike(connection, contracts[stem], str(day), ids)
    identity_pool.collect(connection, [])
    for stem in concerned:
        timeline.collect(connection, stem, str(day))
    identity_pool.judge(connection, again=True)
    version = weighing.version(connection)
    by = identify.adopted(connection, version.made_by or version.adopted)
    identify.identify(connection, by, pool=settings.pool_id, everything=False)
    for stem in concerned:
        timeline.apply(connection, contracts[stem], str(day))
    pool.write(connection, was_empty=False)
    identity_pool.drop_work(connection)
    for stem in concerned:
        timeline.drop(connection, stem, str(day))
    _forget_guardian(connection, settings, contracts, entry)
    erasures.add(connection, entry, records, publication=number)
    erasures.end_disputes(connection, records, day, entry["erased_by"])
    erasures.forget(connection, records, publication=number)
    erasures.forget_answers(connection)
    consents.forget(connection, numbers)
    # What is on its way into the pool is parsed again, without them.
    for open_day, stem in erasures.in_staging(connection):
        changes.drop(connection, stem, str(open_day))
        ledger.note(connection, open_day, stem, state="landed")
    persons, households = pool.counts(connection)
    ledger.publish(connection, day, persons=persons, households=households, cause="erasure")
    ledger.note_night(connection, day, fingerprint=fingerprint.kept(connection))


def _forget_guardian(connection: sa.Connection, settings: Settings, contracts: dict[str, Contract], entry: dict[str, Any]) -> None:
    """Empty the fields in which other persons' records name the erased one as guardian."""
    by = suppression.over(settings, erasures.marks_of(entry))
    for contract in contracts.values():
        told = guardians.told(connection, contract)
        if told is None or not told.height:
            continue
        named = by.guardians(contract, told)
        if named is not None and named.any():
            values = told.filter(named)[contract.by_concept("guardian.resident_id").name].unique().to_list()  # type: ignore[union-attr]
            guardians.forget(connection, contract, suppression.guardian_fields(contract), values)


# -- landing -------------------------------------------------------------------------------------------------------------------------------


def finish(settings: Settings, *, rewrite: bool = False) -> int:
    """Take what is erased out of landing and out of the database's files; how many deliveries are another object now. Harmless to repeat.

    Args:
        settings: whose pool.
        rewrite: large tables as well are written anew, while their readers wait.

    Raises:
        HubError: a delivery that is in the pool cannot be read; the others are done.
    """
    with database.engine(settings).connect() as connection:
        pending = [e for e in erasures.listed(connection) if e.finished_at is None]
        late = erasures.unretained(connection)
    n_done = _take_out(settings, pending, late) if pending or late else 0
    _sweep(settings, is_all=rewrite)
    return n_done


def _take_out(settings: Settings, pending: Sequence[Erasure], late: Sequence[str]) -> int:
    with database.engine(settings).connect() as connection:
        marks, newly = erasures.marks(connection), erasures.marks(connection, pending_only=True)
        deliveries = landing.deliveries(connection)
    kept_out, persons = suppression.over(settings, {*marks, *newly}), suppression.over(settings, newly)
    contracts, n_done = load_contracts(), 0
    for delivery in deliveries:
        if (pending or delivery.delivery_id in late) and delivery.stem in contracts:
            n_done += _retain(settings, contracts[delivery.stem], delivery, kept_out, persons)
    if pending:
        traces.renew_figures(database.engine(settings))
    with database.engine(settings).begin() as connection:
        erasures.finish(connection, [e.erasure_id for e in pending])
        night = ledger.last_night(connection, published=True)
        if night is not None:  # rows of quarantine went with them
            ledger.note_night(connection, night.business_date, fingerprint=fingerprint.kept(connection))
    log.info("finish", erasures=len(pending), deliveries=n_done)
    return n_done


def traced(settings: Settings) -> list[Table]:
    """Tables whose files may still hold values of erased persons, in space that is free."""
    with database.engine(settings).connect() as connection:
        return traces.measured(connection, {name for e in erasures.listed(connection) for name in e.traces_in})


def _sweep(settings: Settings, *, is_all: bool) -> None:
    """Write tables that may hold traces anew: the small ones, or all."""
    with database.engine(settings).connect() as connection:
        known = [e for e in erasures.listed(connection) if e.traces_in]
        found = traces.measured(connection, {name for e in known for name in e.traces_in})
    due = [t for t in found if is_all or t.size_bytes <= traces.AT_ONCE_BYTES]
    if not due and (found or not known):
        return
    done = traces.rewrite(database.engine(settings), due)
    with database.engine(settings).begin() as connection:
        erasures.rewritten(connection, [e.erasure_id for e in known], [t.name for t in found if t.name not in done])
    log.info("rewrite", tables=len(done), left=len(found) - len(done))


def _judged(
    settings: Settings, contract: Contract, delivery: landing.Delivery, kept_out: Suppression, persons: Suppression
) -> Iterator[tuple[pl.DataFrame, pl.Series, pl.Series | None, pl.Series]]:
    """The delivery's batches, with the rows that are erased, those whose guardian is, and the numbers of those not erased before."""
    offset, drift = 0, parsing.Drift()
    number, name = (contract.by_concept(f"person.{of}") for of in ("resident_id", "name"))
    for raw in readers.delivered(settings, contract, delivery):
        if not raw.columns:
            continue
        text = parsing.texts(contract, raw, offset, drift)
        offset += raw.height
        keys, before = parsing.key_texts(contract, text), text[ERASED]
        erased = before | kept_out.rows(contract.stem, keys)
        if number is not None and name is not None:
            alike = persons.persons(text[number.name], text[name.name]) & ~erased
            if alike.any():  # of a record of the pool it was decided already whose it is
                with database.engine(settings).connect() as connection:
                    held = erasures.held_keys(connection, contract.stem, keys.filter(alike).drop_nulls().to_list())
                erased = erased | (alike & ~keys.is_in(list(held)).fill_null(False))
        yield raw, erased, kept_out.guardians(contract, text), text["row_number"].filter(erased & ~before)


def _retain(settings: Settings, contract: Contract, delivery: landing.Delivery, kept_out: Suppression, persons: Suppression) -> bool:
    """Put a delivery's rows down anew without what is erased, and destroy the key of what was there; whether there was anything to erase."""
    try:
        gone: list[int] = []
        is_named = False
        for _, _, named, rows in _judged(settings, contract, delivery, kept_out, persons):
            gone += rows.to_list()
            is_named = is_named or (named is not None and bool(named.any()))
        if not gone and not is_named:
            return False
        batches = (
            _emptied(contract, raw, erased, named) for raw, erased, named, _ in _judged(settings, contract, delivery, kept_out, persons)
        )
        _replace(settings, delivery, batches, gone)
    except SourceChanged:
        with database.engine(settings).connect() as connection:
            if rulings.merged_on(connection, delivery.delivery_id):
                raise
        _replace(settings, delivery, iter(()), [])  # it never came in, nor can: nobody can tell whom it holds
    return True


def _emptied(contract: Contract, raw: pl.DataFrame, erased: pl.Series, named: pl.Series | None) -> pl.DataFrame:
    columns = [c for c in raw.columns if c != ERASED]
    found = suppression.without(raw, columns, erased)
    if named is not None and named.any():
        header = parsing.header(contract, raw.columns, parsing.Drift())
        found = suppression.without(found, [header[n] for n in suppression.guardian_fields(contract)], named)
    return found.with_columns(erased.alias(ERASED))


def _replace(settings: Settings, delivery: landing.Delivery, batches: Iterator[pl.DataFrame], gone: list[int]) -> None:
    path: Path = settings.home / "spool" / f"retained-{delivery.delivery_id}.sealed"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    store, salt = landing.Store(settings), object_keys.new_salt()
    try:
        key = object_keys.derived(settings.landing_key_bytes(), salt)
        sha256, _, _, stored = landing.seal(path, key, chosen(settings), readers.retained(batches))
        name = store.put(sha256, path, salt)
    finally:
        path.unlink(missing_ok=True)
    try:
        with database.engine(settings).begin() as connection:
            former = landing.retain(connection, delivery.delivery_id, name, stored)
            erasures.settle_quarantine(connection, delivery.delivery_id, gone)
    except TakenOver:
        store.leave(name)
        raise
    if former is not None:
        store.remove(former)


# -- another copy of the pool --------------------------------------------------------------------------------------------------------------


def registered(settings: Settings) -> list[dict[str, Any]]:
    """The erasures this pool knows; none where there is no pool."""
    with database.engine(settings).connect() as connection:
        if not connection.scalar(sa.text("SELECT to_regclass('ops.erasure')")):
            return []
        return erasures.register(connection)


def carry_over(settings: Settings, entries: Sequence[dict[str, Any]]) -> int:
    """Erase in this pool whoever was erased elsewhere and is not known as erased here: before an older backup is put in place. How many.

    What landing holds of them is left to :func:`finish`, for whom the pool is in place.

    Raises:
        ConfigError: their marks were made with another secret than this hub has.
    """
    contracts, n_done = load_contracts(), 0
    database.migrate(settings)
    with _alone(settings, list(contracts)):
        for entry in sorted({e["erasure_id"]: e for e in entries}.values(), key=lambda e: str(e["erased_at"])):
            with database.publishing(settings) as connection:
                if erasures.one(connection, entry["erasure_id"]) is not None:
                    continue
                marks = set(erasures.marks_of(entry))
                of_whom = suppression.over(settings, ())
                if of_whom.check(entry["erasure_id"]) not in marks:
                    raise ConfigError(
                        "persons were erased since this backup, and the secret they are known again by is another one here",
                        where=str(settings.secrets_dir / erasures.SECRET),
                        next_step="take that file from a newer backup, restore again, and let nobody ask the pool before",
                    )  # fmt: skip
                ids = [i for stem, key, i in erasures.keys(connection, contracts) if of_whom.of_key(stem, key) in marks]
                _erase(connection, settings, contracts, entry, erasures.records_by_id(connection, contracts, ids))
                if entry.get("lifted_at"):
                    erasures.lift(connection, entry["erasure_id"], by=entry["lifted_by"], reason=entry["lifted_because"])
                n_done += 1
    return n_done


def lift(settings: Settings, erasure: str, *, by: str, reason: str) -> Erasure:
    """Let in again what agencies send of an erased person from now on; what was erased stays erased.

    Raises:
        ConfigError: no such erasure, it was lifted already, or no reason is given.
    """
    if not reason.strip():
        raise ConfigError("why must be said", where="--reason")
    with database.engine(settings).begin() as connection:
        found = erasures.one(connection, erasure)
        if found is None:
            raise ConfigError("there is no such erasure", where="ERASURE", next_step="see `hub erasure list`")
        if found.lifted_at is not None:
            raise ConfigError(f"it was lifted on {found.lifted_at:%Y-%m-%d} already", where="ERASURE")
        erasures.lift(connection, found.erasure_id, by=by, reason=reason.strip())
        lifted = erasures.one(connection, found.erasure_id)
    assert lifted is not None
    return lifted


def listed(settings: Settings) -> list[Erasure]:
    """All erasures, oldest first."""
    with database.engine(settings).connect() as connection:
        return erasures.listed(connection)

"""The seven verbs of a night. Each may be run again at any time: it finds out what is done and does the rest.

They take and give ids and counts, never rows. fetch, land, parse and gate work on one source; resolve, merge and share on all
that have come.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import date, datetime
from functools import wraps
from typing import Any

import polars as pl
import sqlalchemy as sa

import connectors
from connectors.delivery import Fetched, FetchRequest, Part
from expectations import turnover
from hub.errors import AlreadyRunning, GateHeld, HubError, MergeError, ServiceError, SourceChanged, SourceUnavailable, TakenOver, no_room
from hub.log import get_logger
from hub.progress import Listener, Progress
from hub.settings import Settings, get_settings, load_endpoint
from identity.normalise import CONCEPTS, normalise
from pipeline import disputes, erasure, parse_process, parsing, readers, suppression, tickets
from schemas.contract import Contract, Scope, load_contract
from warehouse import (
    absences,
    agency_tables,
    changes,
    database,
    fingerprint,
    identity_pool,
    landing,
    ledger,
    pool,
    quarantine,
    rulings,
    staging,
    timeline,
    weighing,
)  # fmt: skip

log = get_logger("night")
Outcome = dict[str, Any]
_DONE = ("not_due", "accepted", "withdrawn", "merged")  # held and failed are tried again from the beginning, but for what a service failed


def _intake(settings: Settings, stem: str, day: date) -> ledger.Intake:
    with database.engine(settings).connect() as connection:
        found = ledger.intake(connection, day, stem)
    if found is None:
        raise HubError(f"the night {day} is not open", where=stem, next_step=f"run `hub night --date {day}`")
    return found


def _place(settings: Settings, stem: str, day: date) -> ledger.Intake:
    """Where a verb finds the source: one that a local service failed stands where it stood before."""
    found = _intake(settings, stem, day)
    return replace(found, state=found.resumes_from or found.state)


def _nothing_to_do(now: ledger.Intake) -> Outcome:
    """What a verb gives whose work is done, or is not up yet.

    Raises:
        HubError: the source failed: a verb that is tried again by itself does not mend that, and shall not look as if it had.
    """
    if now.state == "failed":
        raise HubError(now.error or "this source failed", where=now.error_where, next_step=now.next_step)
    return {"state": now.state, "did": False}


def _note(settings: Settings, day: date, stem: str, **values: Any) -> None:
    with database.engine(settings).begin() as connection:
        ledger.note(connection, day, stem, **values)


@contextmanager
def told_of_a_full_disk() -> Iterator[None]:
    """Turn a disk that takes no more into an error of the hub: nobody's mistake, and mended by room."""
    try:
        yield
    except OSError as error:
        if (told := no_room(error)) is None:
            raise
        raise told from None


def _verb(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Times a verb of one source and writes its failure into the ledger, whatever comes of it, unless another run took over."""
    verb = function.__name__

    def failed(settings: Settings, day: date, stem: str, error: HubError) -> None:
        state = "held" if isinstance(error, GateHeld) else "failed"
        told = {"state": state, "error": error.message, "error_where": error.where, "next_step": error.next_step}
        _note(settings, day, stem, unless=_DONE, keeps_place=isinstance(error, ServiceError), **told)
        log.warning(verb, source=stem, night=str(day), state=state, error=error.message)

    @wraps(function)
    def run(stem: str, day: date, settings: Settings | None = None, **options: Any) -> Outcome:
        settings, is_told = settings or get_settings(), False
        started = time.perf_counter()
        try:
            with database.alone(settings, f"source {stem}"):
                log.debug(verb, source=stem, night=str(day), state="begun")
                try:
                    with told_of_a_full_disk():
                        outcome = function(stem, day, settings, **options)
                except TakenOver:
                    raise
                except HubError as error:
                    failed(settings, day, stem, error)
                    is_told = True
                    raise
                seconds = time.perf_counter() - started
                if outcome.get("did"):
                    _note(settings, day, stem, verb=verb, seconds=seconds)
        except ServiceError as error:
            # What holds the source, or writes its failure down, was itself cut off: by sessions of their own it is told, unless nobody answers.
            if not is_told:
                with suppress(ServiceError, AlreadyRunning), database.alone(settings, f"source {stem}"):
                    failed(settings, day, stem, error)
            raise
        log.info(verb, source=stem, night=str(day), seconds=round(seconds, 3), **outcome)
        return outcome

    return run


def _pool_verb(function: Callable[[date, Settings], Outcome]) -> Callable[..., Outcome]:
    """A verb on all that has come: one run at a time."""
    verb = function.__name__

    @wraps(function)
    def run(day: date, settings: Settings | None = None) -> Outcome:
        settings = settings or get_settings()
        with database.alone(settings, "pool"):
            log.debug(verb, night=str(day), state="begun")
            with told_of_a_full_disk():
                outcome = function(day, settings)
        log.info(verb, **outcome)
        return outcome

    return run


@_verb
def fetch(stem: str, day: date, settings: Settings, *, progress: Listener | None = None) -> Outcome:
    """Pull the agency's bytes into the spool, sealed.

    Raises:
        SourceError: the agency could not be read as agreed.
    """
    contract, now = load_contract(stem), _place(settings, stem, day)
    if now.state in (*_DONE, "landed", "parsed"):
        return {"state": now.state, "did": False}
    with database.engine(settings).connect() as connection:
        since = ledger.watermark(connection, stem)
    if since is not None and not contract.delivery.is_due(day):
        _note(settings, day, stem, state="not_due")
        return {"state": "not_due", "did": True}
    scope = Scope.FULL if since is None else contract.delivery.scope_on(day)
    request = FetchRequest(contract, load_endpoint(stem, settings), day, scope, since if scope is Scope.DELTA else None)
    pull: Fetched = connectors.load(stem).fetch(request)
    spool = landing.Spool(settings, stem, day, database.number(f"source {stem}"))
    try:
        sha256, parts, raw, stored = spool.write((part.name, _told(part, progress)) for part in pull.parts())
        said = pull.manifest()
        if said.as_of_date > day:
            raise SourceChanged(f"the agency's data is of {said.as_of_date}, after this night", where=stem, next_step="check both clocks")
        spool.finish(landing.Spooled(sha256, parts, raw, stored, said.scope, said.as_of_date, request.since, said.declared_rows))
        _note(settings, day, stem, state="fetched", scope=str(scope))
    except Exception:  # of a run that was taken over nobody else would clear it away
        spool.clear()
        raise
    return {"state": "fetched", "did": True, "parts": parts, "bytes": raw}


def _told(part: Part, progress: Listener | None) -> Iterator[bytes]:
    for chunk in part.chunks:
        yield chunk
        if progress and part.progress:
            progress(part.progress())


@_verb
def land(stem: str, day: date, settings: Settings) -> Outcome:
    """Make the spooled bytes a delivery: immutable, addressed by content.

    Raises:
        SourceUnavailable: nothing was fetched.
    """
    now = _place(settings, stem, day)
    if now.state != "fetched":
        return _nothing_to_do(now)
    spool = landing.Spool(settings, stem, day, database.number(f"source {stem}"))
    spooled = spool.read()
    if spooled is None:
        raise SourceUnavailable("nothing whole was fetched", where=stem, next_step="run fetch first")
    store = landing.Store(settings)
    name = store.put(spooled.sha256, spool.path, spool.salt)
    try:
        with database.engine(settings).begin() as connection:
            delivery = landing.record_delivery(connection, stem, day, spooled, name, load_contract(stem).version)
            ledger.note(connection, day, stem, state="landed", delivery_id=delivery, scope=spooled.scope)
            unused = landing.discard_unused(connection, name)
    except TakenOver:
        store.leave(name)
        raise
    if unused:  # the same bytes as before, of which something was erased since
        store.remove(name)
    spool.clear()
    return {"state": "landed", "did": True, "delivery": delivery, "bytes": spooled.raw_bytes}


def _with_keys(contract: Contract, batch: parsing.Batch) -> Any:
    concepts = {c: spec.name for c in CONCEPTS if (spec := contract.by_concept(c))}
    keys = normalise(batch.typed.select("row_number", *(batch.typed[n].alias(c) for c, n in concepts.items())))
    return batch.typed.hstack(keys)


def _delivery(settings: Settings, delivery_id: str) -> landing.Delivery:
    with database.engine(settings).connect() as connection:
        return landing.deliveries(connection, delivery=delivery_id)[0]


@_verb
def parse(stem: str, day: date, settings: Settings, *, progress: Listener | None = None) -> Outcome:
    """Type the delivery by contract into staging; rows that cannot be typed go to quarantine.

    Raises:
        SourceChanged: the delivery is not what the contract says.
        ServiceError: memory ran out.
    """
    now = _place(settings, stem, day)
    if now.state != "landed":
        return _nothing_to_do(now)
    delivery = _delivery(settings, str(now.delivery_id))
    if parse_process.is_needed(settings, delivery.raw_bytes):
        return parse_process.parse(settings, delivery, day, progress)
    try:
        return parse_here(delivery, day, settings, progress)
    except MemoryError:
        raise parse_process.no_memory(settings, delivery, day) from None


def parse_here(delivery: landing.Delivery, day: date, settings: Settings, progress: Listener | None = None) -> Outcome:
    """What parse does with a night's delivery, in this process; the caller holds the source."""
    stem, contract = delivery.stem, load_contract(delivery.stem)
    drift, rows, erased, holds_erased = parsing.Drift(), 0, 0, False
    rejects: list[pl.DataFrame] = []
    refused: list[pl.DataFrame] = []
    raw = readers.delivered(settings, contract, delivery)

    def typed() -> Iterator[Any]:
        nonlocal rows, erased, holds_erased
        for batch in parsing.parse(contract, raw, drift, kept_out):
            rows, erased, holds_erased = rows + batch.rows, erased + batch.erased, holds_erased or batch.holds_erased
            if batch.rejects.height:
                rejects.append(batch.rejects)
                refused.append(batch.refused)
            yield _with_keys(contract, batch)
            if progress:
                progress(Progress(rows, delivery.declared_rows))

    with database.engine(settings).begin() as connection:
        kept_out = suppression.in_force(settings, connection)
        staging.fill(connection, contract, day, typed())
        staging.note_refused(connection, contract, day, refused)
        if holds_erased:
            landing.mark_holding_erased(connection, delivery.delivery_id)
        if delivery.declared_rows is not None and rows != delivery.declared_rows:
            raise SourceChanged(
                f"{delivery.declared_rows} rows were declared and {rows} read", where=f"delivery {delivery.delivery_id[:8]}"
            )
        if rows == 0 and delivery.scope == Scope.FULL:
            raise SourceChanged("a full snapshot without a row", where=f"delivery {delivery.delivery_id[:8]}", next_step="ask the agency")
        all_rejects = pl.concat([pl.DataFrame(schema=parsing.REJECTS), *rejects])
        quarantine.replace_parse(connection, delivery_id=delivery.delivery_id, stem=stem, business_date=day, rejects=all_rejects)
        n_rejected = all_rejects["row_number"].n_unique()
        ledger.note(connection, day, stem, state="parsed", delivered=rows, rejected=n_rejected, erased=erased, notices=drift.notices())
    return {"state": "parsed", "did": True, "rows": rows, "rejected": n_rejected, "erased": erased, "extra_columns": len(drift.extra)}


def warm_gate() -> None:
    """Load Great Expectations, which takes seconds, while agencies are waited for."""
    from expectations import gate as gatekeeper

    del gatekeeper


def warm_resolve() -> None:
    """Load what tells who is who, while agencies are waited for."""
    from identity import characters
    from pipeline import identify

    del identify
    characters.load()


@_verb
def gate(stem: str, day: date, settings: Settings, *, keeper: Callable[[str, date], Outcome] | None = None) -> Outcome:
    """Let Great Expectations judge the staged rows: quarantine bad rows, hold a bad delivery.

    Args:
        keeper: does it in a process of its own; None = here.

    Raises:
        GateHeld: something critical failed; the last good delivery stays.
    """
    contract, now = load_contract(stem), _place(settings, stem, day)
    if now.state == "landed":  # its staged rows were lost, and the server went away again before they were back
        parse(stem, day, settings)
        now = _place(settings, stem, day)
    if now.state != "parsed":
        return _nothing_to_do(now)
    if keeper is not None:
        return keeper(stem, day)
    # Here, because Great Expectations takes seconds to load and nothing else needs it.
    from expectations import gate as gatekeeper
    from expectations.report import as_dict
    from expectations.rules import Circumstances

    _ensure_staged(settings, contract, day)
    now = _intake(settings, stem, day)
    delivery = _delivery(settings, str(now.delivery_id))
    rows = now.staged or 0
    with database.engine(settings).connect() as connection:
        ruling, reason = rulings.newest(connection, delivery.delivery_id) or ("", "")
        if ruling == "withdrawn":
            raise GateHeld(
                f"this delivery was withdrawn: {reason}", where=f"delivery {delivery.delivery_id[:8]}",
                next_step=f"if it shall come in after all: `hub release {delivery.delivery_id[:8]} --reason …`",
            )  # fmt: skip
        circumstances = Circumstances(
            day, delivery.as_of_date, "full" if delivery.scope == Scope.FULL else "delta",
            tuple(ledger.recent_volumes(connection, stem, delivery.scope, day, contract.delivery.volume.recent_nights)),
            staging.missing_areas(connection, contract, day) if delivery.scope == Scope.FULL else 0,
            tuple((zh, en) for zh, en in now.notices),
            _withdrawals(connection, contract, day, delivery) if delivery.scope == Scope.FULL else (),
        )  # fmt: skip
        former = landing.load_report(connection, delivery.delivery_id)
    schema, table = agency_tables.staging_table(stem, str(day)).replace('"', "").split(".")
    verdict = gatekeeper.judge(contract, circumstances, url=database.url(settings), schema=schema, table=table, rows=rows)
    report = as_dict(contract, delivery.delivery_id, circumstances, verdict)
    must_confirm = any(group.is_beyond for group in circumstances.withdrawals)
    with database.engine(settings).begin() as connection:
        # Whoever confirms must have seen these very figures.
        shown_at = ledger.instant(connection)
        if former is not None and former.get("shown_at") and former["withdrawals"] == report["withdrawals"]:
            shown_at = datetime.fromisoformat(former["shown_at"])
        is_released = ruling == "released" and (not must_confirm or rulings.is_confirmed(connection, delivery.delivery_id, shown_at))
        is_let_in = verdict.state == "accepted" or is_released
        quarantine.clear_gate(connection, delivery.delivery_id)
        if is_let_in:
            quarantine.add_double_keys(connection, contract, delivery_id=delivery.delivery_id, business_date=day)
            for rule in verdict.failing:
                assert rule.fails is not None
                where: dict[str, Any] = {"delivery_id": delivery.delivery_id, "business_date": day, "rule_id": rule.rule_id}
                if rule.holds_field:
                    quarantine.hold_field(connection, contract, field=rule.field or "", fails=rule.fails, **where)
                else:
                    quarantine.add_failing(connection, contract, field=rule.field, fails=rule.fails, **where)
        held_rows = quarantine.counts(connection, delivery.delivery_id).get("gate", 0)
        landing.store_report(connection, delivery.delivery_id, {**report, "shown_at": shown_at.isoformat()})
        tickets.opened(connection, settings, contract, day, delivery.delivery_id, verdict)
        if is_let_in:
            notices = now.notices + ([[f"扣留后放行：{reason}", f"released although held: {reason}"]] if verdict.state == "held" else [])
            ledger.note(connection, day, stem, state="accepted", quarantined=held_rows, notices=notices)
        let_in = delivery.delivery_id if is_let_in else None
        quarantine.clear_replaced(connection, stem=stem, business_date=day, delivery_id=let_in)
    if not is_let_in:
        reasons = "; ".join(r.told for r in verdict.reasons)
        step = f"read `hub report {stem} --date {day}`; ask the agency to send it again, then `hub night --date {day} --source {stem}`"
        if ruling == "released":
            code = turnover.code(delivery.delivery_id, circumstances.withdrawals)
            step = f"another person must confirm what it would withdraw: `hub release {delivery.delivery_id[:8]} --confirm {code}`"
        raise GateHeld(f"the gate holds this delivery: {reasons}", where=f"delivery {delivery.delivery_id[:8]}", next_step=step)
    return {"state": "accepted", "did": True, "quarantined": held_rows}


def _withdrawals(connection: sa.Connection, contract: Contract, day: date, delivery: landing.Delivery) -> tuple[turnover.Group, ...]:
    """What a full delivery would withdraw, by group of keys, with what is usual."""
    volume = contract.delivery.volume
    return turnover.judged(
        absences.expected(connection, contract, day, delivery.as_of_date, fewest=turnover.FEWEST, ranges=turnover.RANGES),
        absences.recent(connection, contract.stem, day, volume.recent_nights), volume,
    )  # fmt: skip


def _ensure_staged(settings: Settings, contract: Contract, day: date) -> None:
    """Parse again if staging was lost: a crash of the server empties unlogged tables."""
    now = _intake(settings, contract.stem, day)
    with database.engine(settings).connect() as connection:
        there = staging.height(connection, contract, day)
    if now.staged is None or there != now.staged:
        _note(settings, day, contract.stem, state="landed")
        parse(contract.stem, day, settings)


def report(stem: str, day: date, settings: Settings | None = None) -> Outcome:
    """How the source stands after its verbs: ok, not_due, held or stale."""
    state = _intake(settings or get_settings(), stem, day).state
    return {
        "state": {"accepted": "ok", "merged": "ok", "not_due": "not_due", "held": "held"}.get(state, "stale"),
        "stem": stem,
        "night": str(day),
    }


def _waiting(settings: Settings, day: date) -> list[tuple[Contract, ledger.Intake, landing.Delivery]]:
    with database.engine(settings).connect() as connection:
        found = [i for i in ledger.intakes(connection, day) if i.state == "accepted"]
        # Only these contracts are read: a wrong one of another source does not stop them.
        return [(load_contract(i.stem), i, landing.deliveries(connection, delivery=str(i.delivery_id))[0]) for i in found]


@_pool_verb
def resolve(day: date, settings: Settings) -> Outcome:
    """Find out what the night changes, and who is who among the records it touches. Writes only working tables."""
    # Here, because the processes that only fetch or judge have no use for it.
    from pipeline import identify

    started = time.perf_counter()
    waiting = _waiting(settings, day)
    for contract, intake, _ in waiting:
        with database.engine(settings).connect() as connection:
            there = staging.height(connection, contract, day)
        if there != (intake.staged or 0):
            _note(settings, day, contract.stem, state="landed")
            parse(contract.stem, day, settings)
            gate(contract.stem, day, settings)
    with database.engine(settings).begin() as connection:
        for contract, _, delivery in waiting:
            agency_tables.ensure_core(connection, contract)
            found = changes.prepare(
                connection, contract, business_date=str(day), delivery_id=delivery.delivery_id, as_of=str(delivery.as_of_date),
                scope=delivery.scope, pool=settings.pool_id,
            )  # fmt: skip
            ledger.note(
                connection, day, contract.stem, unchanged=found.unchanged, inserted=found.inserted, updated=found.updated, past=found.past,
                keys_before=found.keys_before, keys_kept=found.keys_kept, withdrawn=found.withdrawn,
            )  # fmt: skip
        identity_pool.collect(connection, [(c, str(day), d.delivery_id, str(d.as_of_date)) for c, _, d in waiting])
        rejudged = identity_pool.judge(connection)
        version = weighing.version(connection)
        is_outdated = version.made_by != version.adopted and not identity_pool.is_empty(connection)
        if not (waiting or rejudged or is_outdated):
            identity_pool.drop_work(connection)
            return {"night": str(day), "sources": 0, "touched": 0}
        by = identify.adopted(connection, version.adopted)
        counts = identify.identify(connection, by, pool=settings.pool_id, everything=is_outdated)
        identity_pool.seal(connection, ledger.publication(connection), (d.delivery_id for _, _, d in waiting))
        ledger.note_night(connection, day, resolve=time.perf_counter() - started)
    return {"night": str(day), "sources": len(waiting), "rejudged": rejudged, **asdict(counts)}


@_pool_verb
def merge(day: date, settings: Settings) -> Outcome:
    """Publish the night in one transaction: readers see the night before or this one.

    Raises:
        MergeError: the books do not balance, or another publish came between.
        TakenOver: another run took over; nothing was published.
    """
    started = time.perf_counter()
    waiting = _waiting(settings, day)
    with database.publishing(settings) as connection:
        is_sealed = identity_pool.is_sealed(connection, ledger.publication(connection), (d.delivery_id for _, _, d in waiting))
        if waiting and not is_sealed:
            raise MergeError("what was resolved is no longer current", where=f"night {day}", next_step="run resolve again, then merge")
        if is_sealed:
            was_empty = identity_pool.is_empty(connection)
            if was_empty:
                pool.drop_indexes(connection)
            for contract, intake, delivery in waiting:
                _balance(intake)
                changes.apply(
                    connection, contract, business_date=str(day), delivery_id=delivery.delivery_id, as_of=str(delivery.as_of_date),
                    scope=delivery.scope,
                )  # fmt: skip
                ledger.note(connection, day, contract.stem, state="merged")
                tickets.settled(connection, settings, contract, day, delivery)
            pool.write(connection, was_empty=was_empty)
            for contract, _, delivery in waiting:
                timeline.lead_on(connection, contract.stem, str(day))
                disputes.answered(connection, contract, day, delivery.delivery_id)
            identity_pool.drop_work(connection)
            for contract, _, _ in waiting:
                changes.drop(connection, contract.stem, str(day))
        tickets.missing(connection, settings, day)
        n_escalated = tickets.escalated(connection, settings, day)
        n_persons, n_households = pool.counts(connection)
        if is_sealed or not ledger.is_published(connection, day):  # a night in which nothing came is published once: it is over
            ledger.publish(connection, day, persons=n_persons, households=n_households)
        ledger.note_night(connection, day, merge=time.perf_counter() - started)
    return {"night": str(day), "persons": n_persons, "households": n_households, "escalated": n_escalated}


def _balance(books: ledger.Intake) -> None:
    """Every delivered row must be in exactly one column of the books, every key kept or withdrawn."""
    rows = [books.rejected, books.quarantined, books.unchanged, books.inserted, books.updated, books.past, books.erased]
    is_even = books.delivered is not None and None not in rows and books.delivered == sum(r or 0 for r in rows)
    if books.scope == Scope.FULL:
        is_even = is_even and books.keys_before == (books.keys_kept or 0) + (books.withdrawn or 0)
    if not is_even:
        raise MergeError(
            f"the books do not balance: delivered {books.delivered}, accounted for {sum(r or 0 for r in rows)}",
            where=f"{books.stem} {books.business_date}", next_step="keep the delivery, run resolve again, report the pointer",
        )  # fmt: skip


@_pool_verb
def share(day: date, settings: Settings) -> Outcome:
    """Take what came of erased persons out of landing, and tell what the night is: its fingerprint."""
    started = time.perf_counter()
    erasure.finish(settings)
    with database.engine(settings).begin() as connection:
        value = fingerprint.kept(connection)
        ledger.note_night(connection, day, fingerprint=value, share=time.perf_counter() - started)
    return {"night": str(day), "fingerprint": value}

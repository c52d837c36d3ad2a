"""Overruling the gate on a whole delivery: take it out of the pool as if it had never come, or let in what was held."""

import getpass
import hashlib
from dataclasses import dataclass, replace
from datetime import date, datetime

import sqlalchemy as sa

from expectations import turnover
from hub.errors import ConfigError
from hub.settings import Settings
from pipeline import disputes, identify, run, tickets
from schemas.contract import Contract, load_contract
from warehouse import agency_tables, database, fingerprint, identity_pool, landing, ledger, pool, quarantine, rulings, timeline, weighing


@dataclass(frozen=True)
class Effect:
    """What a ruling changes in the pool.

    Attributes:
        delivery_id: the delivery.
        keys: keys of the source whose history it changes.
        share: of the source's records in the pool.
        before, after: persons, households, records, and of the source: records, past versions, keys no longer held, rows of its
            tickets that are still to be mended.
        confirm: code that confirms exactly this effect; None = none is needed.
        is_done: whether it was published.
        fingerprint: of the pool afterwards; None = nothing was published.
    """

    delivery_id: str
    keys: int
    share: float
    before: dict[str, int]
    after: dict[str, int]
    confirm: str | None
    is_done: bool
    fingerprint: str | None


def _said(reason: str, by: str | None) -> tuple[str, str]:
    if not reason.strip():
        raise ConfigError("why must be said", where="--reason")
    return reason.strip(), (by or getpass.getuser()).strip()


def _one(connection: sa.Connection, delivery: str) -> tuple[landing.Delivery, ledger.Intake, Contract]:
    found = landing.deliveries(connection, delivery=delivery) if delivery else []
    if len(found) != 1:
        raise ConfigError(f"{len(found)} deliveries begin with that id", where="DELIVERY", next_step="see `hub deliveries`")
    intake = ledger.intake(connection, found[0].business_date, found[0].stem)
    if intake is None or intake.delivery_id != found[0].delivery_id:
        raise ConfigError("another delivery took its place in its night", where="DELIVERY", next_step="see `hub deliveries`")
    return found[0], intake, load_contract(found[0].stem)


def withdraw(
    settings: Settings, delivery: str, *, reason: str = "", by: str | None = None, confirm: str | None = None, dry_run: bool = False
) -> Effect:
    """Take a delivery out of the pool: what came after it is put together anew without it, persons and households included.

    Its bytes stay landed, and what the hub knew by it until now stays known: `--known-at` still shows it.

    Args:
        settings: whose pool.
        delivery: id of a landed delivery, or its beginning.
        reason: why; needed unless it is a dry run.
        by: who rules so; the account of the operating system if None.
        confirm: the code a dry run gave, needed where a larger share of the source changes.
        dry_run: only say what would change.

    Raises:
        ConfigError: no such delivery, it is not in the pool, or it is not confirmed.
        AlreadyRunning: a night is at work.
    """
    said, by = _said(reason or ("-" if dry_run else ""), by)
    with database.alone(settings, "night"), database.alone(settings, "pool"), database.publishing(settings) as connection:
        found, intake, contract = _one(connection, delivery)
        if not rulings.merged_on(connection, found.delivery_id):
            raise ConfigError(f"this delivery is not in the pool: it is {intake.state}", where="DELIVERY", next_step="see `hub status`")
        effect = take_out(connection, settings, found, contract)
        if not dry_run and effect.confirm is not None and confirm != effect.confirm:
            raise ConfigError(
                f"{effect.keys} keys, {effect.share:.0%} of this source, would change", where="--confirm",
                next_step=f"look at `hub withdraw {found.delivery_id[:8]} --dry-run`; if that is meant, add --confirm {effect.confirm}",
            )  # fmt: skip
        if dry_run:
            connection.rollback()
            return effect
        rulings.append(connection, found.delivery_id, "withdrawn", by=by, reason=said)
        ledger.note(connection, intake.business_date, intake.stem, state="withdrawn")
        return _published(connection, effect)


def take_out(connection: sa.Connection, settings: Settings, found: landing.Delivery, contract: Contract) -> Effect:
    """Write a pool without one of its deliveries; the publication is the caller's."""
    stem, core = contract.stem, agency_tables.core_table(contract.stem)
    last = ledger.last_night(connection, published=True)
    assert last is not None
    day = str(last.business_date)
    before = rulings.counts(connection, stem, core)
    keys = timeline.remove(
        connection, contract, business_date=day, delivery_id=found.delivery_id, as_of=str(found.as_of_date), pool=settings.pool_id
    )  # fmt: skip
    identity_pool.collect(connection, [])
    timeline.collect(connection, stem, day)
    identity_pool.judge(connection, again=True)
    version = weighing.version(connection)
    identify.identify(connection, identify.adopted(connection, version.made_by or version.adopted), pool=settings.pool_id, everything=False)
    timeline.apply(connection, contract, day)
    timeline.forget(connection, found.delivery_id)
    quarantine.clear(connection, found.delivery_id)
    tickets.taken_out(connection, settings, contract, found)
    pool.write(connection, was_empty=False)
    timeline.lead_on(connection, stem, day)
    disputes.answered(connection, contract, date.fromisoformat(day), found.delivery_id)
    disputes.taken_out(connection, settings, contract, found.delivery_id)
    identity_pool.drop_work(connection)
    timeline.drop(connection, stem, day)
    after = rulings.counts(connection, stem, core)
    share = keys / max(before["records_of_source"], 1)
    code = None
    if share > settings.confirm_share:
        told = f"{found.delivery_id}|{ledger.publication(connection)}|{before}|{after}"
        code = hashlib.sha256(told.encode()).hexdigest()[:8]
    return Effect(found.delivery_id, keys, round(share, 4), before, after, code, False, None)


def _published(connection: sa.Connection, effect: Effect) -> Effect:
    last = ledger.last_night(connection, published=True)
    assert last is not None
    persons, households = pool.counts(connection)
    ledger.publish(connection, last.business_date, persons=persons, households=households, cause="withdrawal")
    value = fingerprint.kept(connection)
    ledger.note_night(connection, last.business_date, fingerprint=value)
    return replace(effect, is_done=True, fingerprint=value)


# States of a delivery on its way from landing into the pool.
_UNDER_WAY = ("landed", "parsed", "accepted", "failed")


@dataclass(frozen=True)
class Release:
    """What came of releasing a delivery.

    Attributes:
        night: the night it belongs to, as it stands now.
        stem: its source.
        withdrawals: where more keys would be withdrawn than may be; empty = nowhere, or it was confirmed and is let in.
        confirm: code by which another person confirms exactly these; None = nothing waits for it.
    """

    night: run.NightReport
    stem: str
    withdrawals: tuple[turnover.Group, ...]
    confirm: str | None


def _waiting(connection: sa.Connection, delivery_id: str) -> tuple[tuple[turnover.Group, ...], str]:
    """What a held delivery would withdraw beyond the limits, as the gate last reported it, and the code that confirms it."""
    report = landing.load_report(connection, delivery_id) or {}
    groups = turnover.restored(report.get("withdrawals", ()))
    return tuple(g for g in groups if g.is_beyond), turnover.code(delivery_id, groups)


def release(settings: Settings, delivery: str, *, reason: str = "", by: str | None = None, confirm: str | None = None) -> Release:
    """Let a delivery in that the gate held, or that was withdrawn: it goes through the verbs after land again.

    Rows that break a row rule still go to quarantine; what held the delivery as a whole is in its report and its notices. Where it would withdraw
    more keys than may be, it stays held until another person confirms, who was shown where. A release that was broken off goes on.

    Args:
        settings: whose pool.
        delivery: id of a landed delivery, or its beginning.
        reason: why; that of the first release where it is confirmed without one.
        by: who rules so; the account of the operating system if None.
        confirm: the code that the first release gave.

    Raises:
        ConfigError: no such delivery, it is neither held nor withdrawn, no reason is given, the code is another one, or who confirms
            released it before.
    """
    with database.alone(settings, "night"):
        with database.engine(settings).begin() as connection:
            found, intake, _ = _one(connection, delivery)
            ruling, _ = rulings.newest(connection, found.delivery_id) or ("", "")
            is_under_way = ruling == "released" and intake.state in _UNDER_WAY  # a release that was broken off
            if intake.state not in ("held", "withdrawn") and not is_under_way:
                raise ConfigError(
                    f"this delivery is neither held nor withdrawn: it is {intake.state}", where="DELIVERY", next_step="see `hub status`"
                )
            if not is_under_way:
                asked = _ruled(connection, found, reason=reason, by=by, confirm=confirm)
                if asked is not None:
                    return Release(run.report(settings, found.business_date), found.stem, *asked)
                # With the ruling, so that a release that is broken off is seen to be under way.
                ledger.note(connection, intake.business_date, intake.stem, state="landed")
        night = run.replay(settings, found.delivery_id)
        with database.engine(settings).begin() as connection:
            if night.sources[found.stem]["state"] != "held":
                return Release(night, found.stem, (), None)
            groups, code = _waiting(connection, found.delivery_id)
            if intake.state == "withdrawn":  # it stays out, and its night does not ask the agency again
                ledger.note(connection, intake.business_date, intake.stem, state="withdrawn")
        return Release(run.report(settings, found.business_date), found.stem, groups, code)


def _ruled(
    connection: sa.Connection, found: landing.Delivery, *, reason: str, by: str | None, confirm: str | None
) -> tuple[tuple[turnover.Group, ...], str] | None:
    """Write a release down; what another person must confirm first and the code for it, where that is what it waits for."""
    former = rulings.releases(connection, found.delivery_id)
    groups, code = _waiting(connection, found.delivery_id)
    said, by = _said(reason or (former[-1][2] if former and confirm else ""), by)
    if former and groups and confirm is None:
        return groups, code
    if confirm is not None:
        _confirmed(former, by, is_code=bool(former and groups) and confirm == code, delivery_id=found.delivery_id)
    rulings.append(connection, found.delivery_id, "released", by=by, reason=said)
    return None


def _confirmed(former: list[tuple[str, datetime, str]], by: str, *, is_code: bool, delivery_id: str) -> None:
    step = f"look at `hub release {delivery_id[:8]} --reason …` first"
    if not is_code:
        raise ConfigError("no release waits for this code; what it would withdraw may have changed", where="--confirm", next_step=step)
    if by in {name for name, _, _ in former}:
        raise ConfigError("who released it cannot confirm it as well", where="--by", next_step="another person looks at it and confirms")

"""Another survivorship policy: what it would change, and its adoption, in one transaction or not at all."""

import getpass
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import sqlalchemy as sa

from hub.errors import ConfigError
from hub.settings import Settings
from schemas import survivorship as policies
from schemas.contract import stems
from schemas.survivorship import Survivorship
from warehouse import database, fingerprint, identity_pool, ledger, past, pool, survivorship
from warehouse.questions import as_uuid
from warehouse.survivorship import Adoption, Disagreement, Effect, Rate


@dataclass(frozen=True)
class Outcome:
    """What a policy changes in the pool.

    Attributes:
        version: of the policy.
        former: version of the one in force.
        effect: persons, golden values and households it changes.
        is_adopted: whether it was published.
        fingerprint: of the pool afterwards; None in a dry run.
    """

    version: int
    former: int
    effect: Effect
    is_adopted: bool
    fingerprint: str | None


def _admitted(connection: sa.Connection, settings: Settings, file: Path) -> tuple[Survivorship, Survivorship, ledger.Night]:
    """The policy of a file, the one in force, and the last published night.

    A version is a new one above all others, or one that was in force before, word for word: that is the way back.

    Raises:
        ConfigError: the pool is empty, the file is no policy, or its version or date cannot be.
    """
    policy = policies.load(file, stems())
    last = ledger.last_night(connection, published=True)
    if last is None or identity_pool.is_empty(connection):
        raise ConfigError("the pool holds no record yet", next_step="run `hub night` first")
    known = [a.policy for a in survivorship.adoptions(connection)]
    if policy not in known:
        highest = max(p.version for p in known)
        if policy.version <= highest:
            step = f"give it version {highest + 1}"
            raise ConfigError(
                f"version {policy.version} was in force with other rules, or lies behind", where=f"{file.name} version", next_step=step
            )
        first, today = max(p.decided_date for p in known), ledger.today(settings, connection)
        if not first <= policy.decided_date <= today:
            told = f"the date lies outside {first} (the former policy's) … {today} (today)"
            raise ConfigError(told, where=f"{file.name} decided_date", next_step="write the day on which it was decided")
    return policy, known[0], last


def dry_run(settings: Settings, file: Path) -> Outcome:
    """What the policy of a file would change; nothing is changed, and a night at work is not waited for.

    Raises:
        ConfigError: the pool is empty, or the file holds no policy that could be adopted.
    """
    with database.connected(database.engine(settings), isolation_level="REPEATABLE READ") as connection:
        policy, former, _ = _admitted(connection, settings, file)
        effect = survivorship.effect(connection, policy)
        connection.rollback()
    return Outcome(policy.version, former.version, effect, False, None)


def adopt(settings: Settings, file: Path, *, reason: str = "", by: str | None = None) -> Outcome:
    """Make the golden values of the whole pool by the policy of a file, publish them, and keep to it from now on.

    Args:
        settings: whose pool.
        file: YAML file; see schemas/survivorship.yml.
        reason: why; it is kept with the policy.
        by: who adopts it; the account of the operating system if None.

    Raises:
        AlreadyRunning: a night is at work.
        ConfigError: no reason or an empty name is given, the pool is empty, the file holds no policy that can be adopted, or it is in force
            already.
    """
    by = getpass.getuser() if by is None else by.strip()
    for option, said, told in (("--reason", reason, "why must be said"), ("--by", by, "who adopts it must be said")):
        if not said.strip():
            raise ConfigError(told, where=option, next_step="nothing was changed; `hub policy dry-run FILE` shows what it would change")
    with database.alone(settings, "night"), database.alone(settings, "pool"), database.publishing(settings) as connection:
        policy, former, last = _admitted(connection, settings, file)
        if policy == former:
            raise ConfigError(f"version {policy.version} is in force already", where=file.name, next_step="see `hub survivorship show`")
        effect = survivorship.effect(connection, policy)
        survivorship.adopt(connection, policy, by=by, reason=reason.strip())
        persons, homes = pool.counts(connection)
        value = fingerprint.kept(connection)
        ledger.publish(connection, last.business_date, persons=persons, households=homes, cause="policy")
        ledger.note_night(connection, last.business_date, fingerprint=value)
    return Outcome(policy.version, former.version, effect, True, value)


def adoptions(settings: Settings) -> list[Adoption]:
    """The policy in force and those before it, newest first."""
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        return survivorship.adoptions(connection)


def is_shipped_newer(adopted: list[Adoption]) -> bool:
    """Whether the policy that comes with the hub is newer than every one that was in force: nobody has looked at it yet."""
    return policies.load(policies.SHIPPED, stems()).version > max(a.policy.version for a in adopted)


def rates(settings: Settings, day: date | None = None) -> list[Rate]:
    """How often sources tell something else than the golden value; as it stood after the last night up to a day, None = now.

    Raises:
        ConfigError: the day lies outside the clocks.
    """
    with database.engine(settings).connect() as connection:
        return survivorship.rates(connection, None if day is None else past.moment(connection, as_of=day, known_at=None).night)


def of_person(settings: Settings, person_id: str) -> list[Disagreement]:
    """What the records of a person say otherwise than its golden values, by pointer; an id that leads elsewhere is followed.

    Raises:
        ConfigError: there is no such person.
    """
    with database.engine(settings).connect() as connection:
        last = ledger.publication(connection)
        found = past.answers_to(connection, as_uuid(person_id), last)
        if found is None:
            raise ConfigError("there is no such person", where="PERSON")
        return survivorship.disagreements(connection, past.answers_to(connection, found, last) or found)

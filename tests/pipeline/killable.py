"""The commands that change the pool: each can be killed at any moment and run again, and then leaves what a quiet one leaves."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.clean_hub import history
from pipeline import erasure, review, rulings, run
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from tests.cut_off import cut_off
from tests.pipeline.test_erasure import someone
from tests.pipeline.test_judged_nights import _TIED, pair
from tests.pipeline.test_kills import kill_server
from tests.pipeline.test_rulings import newest
from tests.pipeline.test_survivorship import written
from warehouse import backup, database, embedded, fingerprint, ledger, rollback

Command = tuple[str, ...]
# Who is killed, and of how many kills each gets one.
VICTIMS = {"command": 4, "PostgreSQL": 1}
# What a command may end with whose server was killed under it: it was through, now or by a former try (2), its source (3), another or the
# publication failed, or the server is told of.
_WITHOUT_SERVER = (0, 2, 3, 4, 6, 7)
# Run again it is done, or says in a sentence that it is through already. Whoever finds another run at work waits for it.
_AGAIN, _BUSY = (0, 2), 9
_LONGEST_S = 240.0
_START = "killable"
FORMER = "0031"
_NIGHT_5 = ("night", "--date", "2026-03-05")


def _nothing(_hub: Hub, _folder: Path) -> list[str]:
    return []


@dataclass(frozen=True)
class Killable:
    """A command that changes the pool, or several that belong together.

    Attributes:
        name: as it is typed.
        prepared: makes the pool in which it is typed; gives what is typed, one command after another.
        left: what it leaves beside the pool.
        cleared: takes away what it left beside the pool.
    """

    name: str
    prepared: Callable[[Hub, Path], list[Command]]
    left: Callable[[Hub, Path], list[str]] = _nothing
    cleared: Callable[[Hub, Path], object] = _nothing


def _a_night(hub: Hub, _folder: Path) -> list[Command]:
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    return [("night", "--date", "2026-03-02")]


def _release(hub: Hub, _folder: Path) -> list[Command]:
    hub.restore("night_1")
    hub.break_by("education", "shifted_column")
    assert hub.night(8, only="education").sources["education"]["state"] == "held"
    hub.mend("education")
    return [("release", newest(hub, "education"), "--reason", "numbers were given out anew")]


def _withdraw(hub: Hub, _folder: Path) -> list[Command]:
    hub.restore("night_5")
    delivery = newest(hub, "medical_insurance")
    code = rulings.withdraw(hub.settings, delivery, dry_run=True).confirm
    return [("withdraw", delivery, "--reason", "wrong file", *(["--confirm", code] if code else []))]


def _judge(hub: Hub, _folder: Path) -> list[Command]:
    hub.restore("night_5")
    said = ("--reviewer", "reviewer one", "--reason", "the file was looked at")
    return [("review", "judge", *pair(hub, _TIED), "cannot", *said), _NIGHT_5]


def _retract(hub: Hub, _folder: Path) -> list[Command]:
    hub.restore("night_5")
    entered = review.judge(hub.settings, *pair(hub, _TIED), "cannot", reviewer="reviewer one", reason="the file was looked at")
    hub.night(5)
    return [("review", "retract", entered.judgement_id, "--reviewer", "reviewer one", "--reason", "the wrong file"), _NIGHT_5]


def _adopt(hub: Hub, folder: Path) -> list[Command]:
    hub.restore("night_5")
    return [("survivorship", "adopt", str(written(folder)), "--reason", "telephones go out of date")]


def _erase(hub: Hub, _folder: Path) -> list[Command]:
    hub.restore("night_5")
    person = someone(hub, "cardinality(sources) >= 2")
    said = {"--basis": "consent", "--reason": "decision 2026/17", "--by": "王工", "--confirmed-by": "李工"}
    options = [part for option in said.items() for part in option]
    code = erasure.plan(hub.settings, person).confirm
    return [("erasure", "carry-out", person, *options, "--confirm", code), ("erasure", "finish")]


def _back_up(hub: Hub, folder: Path) -> list[Command]:
    hub.restore("night_5")
    return [("backup", str(folder / "backups"))]


def _backups(hub: Hub, folder: Path) -> list[str]:
    """Every backup that is listed is whole and of this pool; nothing unfinished lies beside them."""
    place = folder / "backups"
    whole = {backup.check(hub.settings, place / m.name).fingerprint for m in backup.listed(place)}
    return [f"whole: {w == hub.fingerprint()}" for w in whole] + [f"unfinished: {p.name}" for p in place.rglob(".*")]


def _restore(hub: Hub, folder: Path) -> list[Command]:
    hub.restore("night_5")
    made = backup.take(hub.settings, folder / "backup")
    hub.restore("night_0")
    return [("restore", str(folder / "backup" / made.name))]


def _restore_in_place(hub: Hub, folder: Path) -> list[Command]:
    hub.restore("night_1")
    made = backup.take(hub.settings, folder / "backup")
    hub.restore("night_5")
    return [("restore", str(folder / "backup" / made.name), "--replace")]


def _beside(hub: Hub, work: Callable[[sa.Connection, str], Any]) -> list[Any]:
    """Do something with each database that a restore made or kept."""
    server = sa.create_engine(embedded.cluster(hub.settings).url(), isolation_level="AUTOCOMMIT")
    query = r"SELECT datname FROM pg_database WHERE datname LIKE 'hub\_before\_%' OR datname = 'hub_restoring' ORDER BY 1"
    with server.connect() as connection:
        found = [work(connection, name) for name in connection.scalars(sa.text(query)).all()]
    server.dispose()
    return found


def _kept(hub: Hub, _folder: Path) -> list[str]:
    """The pools that were there before, apart from the one that was put in place."""

    def looked_at(_: sa.Connection, name: str) -> str:
        former = sa.create_engine(embedded.cluster(hub.settings).url(name))
        with former.connect() as connection:
            found = fingerprint.scanned(connection)
        former.dispose()
        return found

    return sorted({*_beside(hub, looked_at)} - {hub.fingerprint()})


def _drop_kept(hub: Hub, _folder: Path) -> list[Any]:
    return _beside(hub, lambda connection, name: connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)')))


def _up(hub: Hub, _folder: Path) -> list[Command]:
    hub.restore("night_5")
    rollback.back(hub.settings, FORMER, confirm=rollback.back(hub.settings, FORMER).confirm)
    return [("migrate",)]


def _down(hub: Hub, _folder: Path) -> list[Command]:
    hub.restore("night_5")
    return [("migrate", "--to", FORMER, "--confirm", rollback.back(hub.settings, FORMER).confirm), ("migrate",)]


COMMANDS = (
    Killable("night", _a_night),
    Killable("release", _release),
    Killable("withdraw", _withdraw),
    Killable("review judge, night", _judge),
    Killable("review retract, night", _retract),
    Killable("survivorship adopt", _adopt),
    Killable("erasure carry-out", _erase),
    Killable("backup", _back_up, _backups, lambda _, folder: shutil.rmtree(folder / "backups", ignore_errors=True)),
    Killable("restore", _restore, _nothing, _drop_kept),
    Killable("restore --replace", _restore_in_place, _kept, _drop_kept),
    Killable("migrate", _up),
    Killable("migrate --to, migrate", _down),
)


@dataclass(frozen=True)
class Outcome:
    """What the pool is held to once a command is through: quarantine, tickets and books of the last night are lines of text."""

    fingerprint: str
    books: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Kills:
    """What came of killing a command.

    Attributes:
        struck: kills by victim.
        late: kills that came when the command was through.
        misfits: a sentence for each command that did not end, or tell, as it should.
        seen: what readers saw that nobody should.
        outcome: once it was run again.
    """

    struck: Counter[str]
    late: int
    misfits: list[str]
    seen: list[str]
    outcome: Outcome


@dataclass(frozen=True)
class CutOff:
    """What came of a command of which one session was cut off.

    Attributes:
        sentence: how that began which did not reach the server; None = there were fewer this time.
        misfits: a sentence for each command that did not end, or tell, as it should.
        outcome: once it was run again.
    """

    sentence: str | None
    misfits: list[str]
    outcome: Outcome


class Trial:
    """A command in a hub of the tests, which has kept what nights 0, 1 and 5 left.

    Attributes:
        quiet: what the command leaves that nobody disturbs.
    """

    def __init__(self, hub: Hub, killable: Killable, folder: Path) -> None:
        self._hub, self._killable, self._folder = hub, killable, folder
        self._said = killable.prepared(hub, folder)
        hub.keep(_START)
        with hub.landing_kept():
            started = time.perf_counter()
            for said in self._said:
                done = hub.command(*said)
                assert done.returncode == 0, (said[0], done.stderr)
            self._whole_s = time.perf_counter() - started
            self.quiet = self._outcome()

    def killed(self, draw: random.Random, times: int, victims: dict[str, int]) -> Kills:
        """Kill it so many times in one pool, each time run again; then run to its end as whoever is on call would."""
        hub, struck, late, misfits = self._hub, Counter[str](), 0, list[str]()
        self._killable.cleared(hub, self._folder)
        with hub.landing_kept():
            hub.restore(_START)
            reader = oracle.Reader(hub.settings)
            reader.start()
            for _ in range(times):
                victim = draw.choices(list(victims), list(victims.values()))[0]
                is_struck, told = self._strike(victim, draw.uniform(0.15, 1) * self._whole_s)
                struck[victim] += is_struck
                late += not is_struck
                misfits += told
            misfits += [found for said in self._said for found in self._run_again(said)]
            reader.end()
            outcome = self._outcome()
            self._killable.cleared(hub, self._folder)
        return Kills(struck, late, misfits, reader.confusion(), outcome)

    def cut_off(self, draw: random.Random, times: int) -> list[CutOff]:
        """Cut off the session of one of its sentences, whichever is drawn, as often; each time in the pool it began with, and run again."""
        hub, found, whole = self._hub, list[CutOff](), 0
        for n in range(times + 1):  # the first time nothing is cut off: how many sentences there are
            self._killable.cleared(hub, self._folder)
            at = draw.randint(1, whole) if n else 0
            with hub.landing_kept():
                hub.restore(_START)
                misfits = list[str]()
                with cut_off(hub, lambda number, *_, at=at: number == at) as said:  # type: ignore[misc]
                    for command in self._said:
                        done = hub.invoked(*command)
                        misfits += _misfit(command, f"cut off at sentence {at}", done.returncode, done.stderr, _WITHOUT_SERVER)
                        if done.returncode not in _AGAIN:
                            break
                if n:
                    misfits += [told for command in self._said for told in self._run_again(command)]
                    found.append(CutOff(said[at - 1][:60] if at <= len(said) else None, misfits, self._outcome()))
                else:
                    whole = len(said)
        self._killable.cleared(hub, self._folder)
        return found

    def _outcome(self) -> Outcome:
        hub = self._hub
        with database.engine(hub.settings).connect() as connection:
            night = ledger.last_night(connection, published=True)
        assert night is not None
        uneven = oracle.imbalance(run.report(hub.settings, night.business_date).sources)
        assert not uneven, uneven
        return Outcome(hub.fingerprint(), tuple(history(hub)), tuple(self._killable.left(hub, self._folder)))

    def _strike(self, victim: str, delay_s: float) -> tuple[bool, list[str]]:
        """Kill somebody so long after the command was typed: whether it was not through yet, and what it ended with that it should not."""
        ends_at = time.monotonic() + delay_s
        for said in self._said:
            child = self._hub.begun(*said)
            try:
                _, told = child.communicate(timeout=max(ends_at - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                if victim == "command":
                    os.killpg(child.pid, signal.SIGKILL)
                    child.communicate()
                    return True, []
                kill_server(self._hub, "SIGKILL")
                _, told = child.communicate(timeout=_LONGEST_S)
                return True, _misfit(said, f"{victim} killed", child.returncode, told, _WITHOUT_SERVER)
            if misfit := _misfit(said, "before a kill that came late", child.returncode, told, _AGAIN):
                return False, misfit
        return False, []

    def _run_again(self, said: Command) -> list[str]:
        ends_at = time.monotonic() + 60
        while (done := self._hub.command(*said)).returncode == _BUSY and time.monotonic() < ends_at:
            time.sleep(0.5)  # what was killed still ends in its server
        return _misfit(said, "run again", done.returncode, done.stderr, _AGAIN)


def _misfit(said: Command, when: str, status: int, told: str, allowed: tuple[int, ...]) -> list[str]:
    if status in allowed and "Traceback" not in told and "unforeseen" not in told:
        return []
    sentence = next((line for line in reversed(told.splitlines()) if line and not line.startswith("{")), "")
    return [f"{' '.join(said[:2])}, {when}: status {status}, {sentence}"]

"""Kill -9 of a night's processes, or of PostgreSQL under them, anywhere in a verb.

The oracle: once the night has been run again, the fingerprint is that of a hub nobody killed, what is in quarantine and on tickets is the
same, and whoever read the pool meanwhile, over and over, saw each publication as one state.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter

from rich.console import Console

from benchmarks.clean_hub import NIGHTS, Expected
from benchmarks.fault_table import Line
from sandbox import clock
from tests import oracle
from tests.conftest import Hub, NeverBegan
from tests.oracle import Held
from tests.pipeline.test_kills import VERBS, kill_server

# Who is killed, and of how many kills each gets one.
VICTIMS = {"night": 12, "SIGKILL": 2, "immediate": 1}
_NAMES = {
    "night": ("当夜进程被杀 a night killed", "SIGKILL"), "SIGKILL": ("当夜 PostgreSQL 被杀 PostgreSQL killed under a night", "SIGKILL"),
    "immediate": ("当夜 PostgreSQL 骤停 PostgreSQL stopped under a night", "stop -m immediate"),
}  # fmt: skip
# The longest a kill waits after its verb began, in seconds: it is to fall anywhere in the verb.
LATEST_S = 0.6


def run(hub: Hub, expected: dict[int, Expected], wanted: int, seed: int, console: Console) -> list[Line]:
    """Kill nights at random until so many kills have struck; after each night's kills it is run to its end and looked at."""
    draw, late = random.Random(seed), 0
    lines = {victim: Line(*_NAMES[victim]) for victim in VICTIMS}
    by_verb = {victim: Counter[str]() for victim in VICTIMS}
    a_night = max(1, round(wanted / (4 * len(NIGHTS))))
    while sum(line.times for line in lines.values()) < wanted:
        hub.restore("night_0")
        reader, met = oracle.Reader(hub.settings), set[str]()
        reader.start()
        for night in NIGHTS:
            clock.set_night(hub.settings, night)
            struck = set()
            for _ in range(a_night):
                verb, victim = draw.choice(VERBS), draw.choices(list(VICTIMS), list(VICTIMS.values()))[0]
                if not _strike(hub, night, verb, victim, draw.uniform(0, LATEST_S), lines[victim]):
                    late += 1
                    continue
                struck.add(victim)
                by_verb[victim][verb] += 1
                lines[victim].times += 1
            found, wrong = _looked(hub, night, expected[night])
            for victim in struck:
                lines[victim].wrong += wrong
                for held, is_so in found.items():
                    lines[victim].looks[held].append(is_so)
            met |= struck
            n = sum(line.times for line in lines.values())
            console.print(f"  {n}/{wanted} · 第 {night} 夜 night · {'✗' if wrong or not all(found.values()) else '✓'}", highlight=False)
            if n >= wanted:
                break
        reader.end()
        for victim in met:
            lines[victim].read(reader.confusion())
    console.print(f"  另有 {late} 次来迟（当夜已毕）/ {late} more came when the night had ended", highlight=False)
    for victim, line in lines.items():
        line.injected += " · " + " · ".join(f"{verb} {by_verb[victim][verb]}" for verb in VERBS if by_verb[victim][verb])
    return [line for line in lines.values() if line.times]


def _strike(hub: Hub, night: int, verb: str, victim: str, delay_s: float, line: Line) -> bool:
    """Kill somebody; False if the night had ended before."""

    def strike(child: subprocess.Popen[str]) -> None:
        time.sleep(delay_s)
        if victim == "night":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            kill_server(hub, victim)

    try:
        status, said = hub.struck(verb, strike, "night", "--date", str(clock.date_of(hub.settings, night)), "--json")
    except NeverBegan:
        return False
    if "Traceback" in said or "unforeseen" in said or status not in (-signal.SIGKILL, 0, 4, 6, 7):
        line.wrong.append(f"killed in {verb}, night {night}: status {status}, {'a traceback' if 'Traceback' in said else said[-200:]}")
    return victim != "night" or status == -signal.SIGKILL


def _looked(hub: Hub, night: int, expected: Expected) -> tuple[dict[Held, bool], list[str]]:
    """Run the night again as whoever is on call would; what it is held to, and a sentence for what is wrong with it."""
    done = hub.command("night", "--date", str(clock.date_of(hub.settings, night)), "--json")
    if done.returncode != 0:
        return {Held.FINGERPRINT: False, Held.BOOKS: False}, [f"night {night}, run again: status {done.returncode}"]
    sources = json.loads(done.stdout)["sources"]
    wrong = [f"night {night}: {stem} is {books['state']}" for stem, books in sources.items() if books["state"] not in ("ok", "not_due")]
    are_even = expected.is_even(hub, sources)
    return {Held.FINGERPRINT: hub.fingerprint() == expected.fingerprint, Held.BOOKS: are_even}, wrong

"""Kill -9 of Airflow's scheduler with its tasks, or of one task's process, in the midst of a scheduled night.

Whoever is on call starts again what died (``hub up``), and runs a night again that says a source failed in it (status 4). Then the pool is to
be as if nobody had been killed.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
from rich.console import Console
from rich.table import Table

from hub.settings import CHECKOUT
from pipeline.services import agencies, airflow
from sandbox import clock
from tests.conftest import Hub
from warehouse import embedded

VICTIMS = ("scheduler", "task")
# A night takes about half a minute; a kill is to fall anywhere in it.
EARLIEST_S, LATEST_S = 2.0, 25.0
_LONGEST_S = 600
_SOURCE_FAILED = 4  # exit status


def strike(hub: Hub, victim: str, ends_at: float) -> bool:
    """Kill the scheduler and all its tasks, or one task; False if there was none before the night had ended."""
    scheduler = airflow.service(hub.settings, "scheduler").process()
    if scheduler is None:
        return False
    if victim == "scheduler":
        os.killpg(scheduler.pid, signal.SIGKILL)
        return True
    while time.monotonic() < ends_at:
        for worker in scheduler.children():
            for task in worker.children():
                try:
                    if task.status() != psutil.STATUS_ZOMBIE:
                        task.send_signal(signal.SIGKILL)
                        return True
                except psutil.NoSuchProcess:
                    pass
        time.sleep(0.05)
    return False


def run(hub: Hub, fingerprints: dict[int, str], wanted: int, seed: int, console: Console) -> bool:
    """Strike scheduled nights until so many kills have struck; whether each ended well and as if nobody had been killed.

    Args:
        hub: one that keeps the empty warehouse as ``night_0``.
        fingerprints: what each night leaves that nobody disturbs.
        wanted: kills.
        seed: of when and whom.
        console: told of each night.
    """
    draw, struck, failures = random.Random(seed), Counter[str](), list[str]()
    again = 0
    nights = list(fingerprints)
    while sum(struck.values()) < wanted:
        # Nights that were scheduled stay in Airflow's books; a warehouse that is put back needs an Airflow without them, and
        # nobody at work in the one that was.
        hub.command("down")
        embedded.start(hub.settings)
        agencies.start(hub.settings)
        hub.forget_airflow()
        hub.restore("night_0")
        if (status := hub.command("up").returncode) != 0:
            failures.append(f"`hub up` ended with status {status}")
            break
        for night in nights:
            victim = draw.choice(VICTIMS)
            has_struck, status, said = _night(hub, night, victim, draw.uniform(EARLIEST_S, LATEST_S))
            struck[victim] += has_struck
            if status == _SOURCE_FAILED:
                again += 1
                status = hub.command("night", "--date", str(clock.date_of(hub.settings, night))).returncode
            if "Traceback" in said:
                failures.append(f"night {night}, {victim} killed: a traceback")
            if (found := hub.fingerprint()) != fingerprints[night]:
                failures.append(f"night {night}, {victim} killed: fingerprint {found[:12]}, not {fingerprints[night][:12]}")
            if status != 0:
                failures.append(f"night {night}, {victim} killed: `hub run` or the run after it ended with status {status}")
            console.print(f"  {sum(struck.values())}/{wanted} · {victim}{'' if has_struck else '：来迟 / too late'}", highlight=False)
            if sum(struck.values()) >= wanted:
                break
    table = Table("kill -9", *VICTIMS, "另行重跑 run again by hand", "夜与无故障者不符 nights not as without")
    table.add_row("Airflow", *(str(struck[v]) for v in VICTIMS), str(again), str(len(failures)))
    console.print(table)
    for failure in failures:
        print(f"✗ {failure}", file=sys.stderr)
    return not failures


def _night(hub: Hub, night: int, victim: str, delay_s: float) -> tuple[bool, int, str]:
    """A scheduled night with a kill in it: whether the kill struck, the night's exit status, and its log."""
    clock.set_night(hub.settings, night)
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", "run", "--date", str(clock.date_of(hub.settings, night))],
        cwd=CHECKOUT, env=hub.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(delay_s)
    has_struck = child.poll() is None and strike(hub, victim, time.monotonic() + 10)
    if has_struck and victim == "scheduler":
        hub.command("up")
    try:
        _, said = child.communicate(timeout=_LONGEST_S)
    except subprocess.TimeoutExpired:
        child.kill()
        _, said = child.communicate()
    return has_struck, child.returncode, said

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

from benchmarks.clean_hub import Expected
from benchmarks.fault_table import Line
from hub.settings import CHECKOUT
from pipeline import run as running
from pipeline.services import agencies, airflow
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from tests.oracle import Held
from warehouse import embedded

VICTIMS = ("scheduler", "task")
_NAMES = {
    "scheduler": ("Airflow 调度器被杀 Airflow's scheduler killed with its tasks", "SIGKILL"),
    "task": ("Airflow 任务被杀 a task of Airflow killed", "SIGKILL"),
}
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


def run(hub: Hub, expected: dict[int, Expected], wanted: int, seed: int, console: Console) -> list[Line]:
    """Strike scheduled nights until so many kills have struck; a line for each victim.

    Args:
        hub: one that keeps the empty warehouse as ``night_0``.
        expected: what each night leaves that nobody disturbs.
        wanted: kills.
        seed: of when and whom.
        console: told of each night.
    """
    draw, lines, again = random.Random(seed), {victim: Line(*_NAMES[victim]) for victim in VICTIMS}, Counter[str]()
    while sum(line.times for line in lines.values()) < wanted:
        # Nights that were scheduled stay in Airflow's books; a warehouse that is put back needs an Airflow without them, and
        # nobody at work in the one that was.
        hub.command("down")
        embedded.start(hub.settings)
        agencies.start(hub.settings)
        hub.forget_airflow()
        hub.restore("night_0")
        if (status := hub.command("up").returncode) != 0:
            lines["scheduler"].wrong.append(f"`hub up` ended with status {status}")
            break
        reader, met = oracle.Reader(hub.settings), set[str]()
        reader.start()
        for night in expected:
            victim = draw.choice(VICTIMS)
            line = lines[victim]
            has_struck, status, said = _night(hub, night, victim, draw.uniform(EARLIEST_S, LATEST_S))
            if status == _SOURCE_FAILED:
                again[victim] += 1
                status = hub.command("night", "--date", str(clock.date_of(hub.settings, night))).returncode
            if status != 0 or "Traceback" in said:
                line.wrong.append(f"night {night}: `hub run` or the run after it ended with status {status}")
            line.looks[Held.FINGERPRINT].append(hub.fingerprint() == expected[night].fingerprint)
            sources = running.report(hub.settings, clock.date_of(hub.settings, night)).sources
            line.looks[Held.BOOKS].append(expected[night].is_even(hub, sources))
            line.times += has_struck
            if has_struck:
                met.add(victim)
            n = sum(found.times for found in lines.values())
            console.print(f"  {n}/{wanted} · {victim}{'' if has_struck else '：来迟 / too late'}", highlight=False)
            if n >= wanted:
                break
        reader.end()
        for victim in met:
            lines[victim].read(reader.confusion())
    for victim, line in lines.items():
        line.injected += f"，再 then hub up · 另行重跑 run again by hand {again[victim]}"
    return [line for line in lines.values() if line.times or line.wrong]


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

"""The machine: interpreter, packages, memory, disk, clock."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psutil
from packaging.requirements import InvalidRequirement, Requirement

from hub.postgres import PROGRAMS
from hub.settings import CHECKOUT, Settings
from pipeline.doctor.finding import Finding, State

_GIB = 1 << 30
# Measured: PostgreSQL, Airflow's four processes, five agencies and a night of 200 000 persons together.
_MEMORY_GIB = 4
_FREE_GIB = 10
_LEAST_FREE_GIB = 1
_SHOWN = 4


def interpreter() -> Iterator[Finding]:
    """Python, packages, cores, memory, clock: what needs no settings."""
    version = ".".join(map(str, sys.version_info[:3]))
    is_right = sys.version_info[:2] == (3, 11)
    yield Finding(
        "python", State.OK if is_right else State.FAULT, f"Python {version}", f"Python {version}",
        None if is_right else "install Python 3.11 and run `make clean setup`",
    )  # fmt: skip
    yield packages(CHECKOUT / "requirements.txt")
    yield _programs()
    cores = len(os.sched_getaffinity(0))
    yield Finding(
        "cores", State.OK if cores >= 2 else State.WARNING, f"{cores} 核", f"{cores} cores",
        None if cores >= 2 else "two cores or more: a night takes twice as long on one",
    )  # fmt: skip
    memory = psutil.virtual_memory()
    has_memory = memory.total >= _MEMORY_GIB * _GIB and memory.available >= _GIB
    told = f"{memory.total / _GIB:.1f} GiB, {memory.available / _GIB:.1f} GiB"
    yield Finding(
        "memory", State.OK if has_memory else State.WARNING, f"内存 {told} 可用", f"memory {told} available",
        None if has_memory else f"{_MEMORY_GIB} GiB, one of them free, are needed with Airflow; `hub night` alone needs half",
    )  # fmt: skip
    yield clock(datetime.now(UTC))


def packages(requirements: Path) -> Finding:
    """Whether what is installed is what is pinned."""
    wrong = []
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except OSError:
        return Finding("packages", State.WARNING, "缺少 requirements.txt", "requirements.txt cannot be read", "restore it from git")
    for line in lines:
        text = line.strip().removesuffix("\\").strip()
        if not text or text.startswith(("#", "--")):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            there: str | None = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            there = None
        if there is None or not wanted.specifier.contains(there, prereleases=True):
            wrong.append(f"{wanted.name} {there or 'missing'}, {wanted.specifier} is pinned")
    if not wrong:
        return Finding("packages", State.OK, "软件包与清单一致", "packages are those pinned")
    shown = "; ".join(wrong[:_SHOWN]) + (f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else "")
    return Finding("packages", State.FAULT, f"{len(wrong)} 个软件包与清单不符", shown, "run `make setup`; if it stays, `make clean setup`")


def _programs() -> Finding:
    """The programs of PostgreSQL start, so the system's libraries they need are there."""
    try:
        done = subprocess.run([str(PROGRAMS / "postgres"), "--version"], capture_output=True, text=True, check=False, timeout=30, cwd="/")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(
            "system", State.FAULT, "PostgreSQL 程序不可用", f"PostgreSQL cannot be started ({type(error).__name__})", "make setup"
        )
    if done.returncode != 0:
        return Finding("system", State.FAULT, "PostgreSQL 缺少系统库", done.stderr.strip()[-200:], "sh deploy/system-packages.sh, as root")
    missing = [name for name in ("git", "make") if shutil.which(name) is None]
    if missing:
        return Finding("system", State.WARNING, f"缺少 {', '.join(missing)}", f"{', '.join(missing)} not found", "install it")
    return Finding("system", State.OK, f"系统程序 {done.stdout.strip()}", f"system programs: {done.stdout.strip()}, git, make")


def clock(now: datetime) -> Finding:
    """Whether clock and time zones can be right: a clock before the code was written is not."""
    try:
        there = now.astimezone(ZoneInfo("Asia/Shanghai"))
    except ZoneInfoNotFoundError:
        return Finding("clock", State.FAULT, "缺少时区数据", "the zone Asia/Shanghai is not known", "install tzdata")
    written = datetime.fromtimestamp((CHECKOUT / "pyproject.toml").stat().st_mtime, UTC)
    if now < written - timedelta(days=1):
        return Finding("clock", State.WARNING, f"时钟 {there:%F %T} 早于代码", f"the clock says {there:%F %T}, before this code was written",
                       "set the clock; `timedatectl set-ntp true`")  # fmt: skip
    return Finding("clock", State.OK, f"中国时间 {there:%F %H:%M}", f"China's time {there:%F %H:%M}")


def home(settings: Settings) -> Iterator[Finding]:
    """The home folder: it can be written, and the disk under it has room."""
    folder = settings.home.resolve()
    there = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        yield Finding(
            "home", State.FAULT, f"{there} 不可写", f"{there} cannot be written: {reason}", "give this user the folder, or set HUB_HOME"
        )
        return
    yield Finding("home", State.OK, f"主目录 {folder} 可写", f"home {folder} can be written")
    free = shutil.disk_usage(there).free / _GIB
    if free < _LEAST_FREE_GIB:
        state, step = State.FAULT, "free some space: a night needs it for landing, staging and the database's log"
    elif free < _FREE_GIB:
        state, step = State.WARNING, f"{_FREE_GIB} GiB free are enough for a county of a million"
    else:
        state, step = State.OK, None
    yield Finding("disk", state, f"磁盘剩余 {free:.1f} GiB", f"{free:.1f} GiB of disk free", step)

"""`hub new-agency`: the four files of one more source, valid as they stand."""

import asyncio
import importlib
import json
import keyword
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jinja2
import typer
import yaml
from rich.console import Console

from hub.errors import ConfigError, HubError
from hub.settings import CHECKOUT, Settings, load_endpoint
from schemas.contract import Scope, load_contract, load_contracts

_TEMPLATES = Path(__file__).parent / "agency"
_PLACES = {
    "contract.yml.jinja": "schemas/{}.yml",
    "connector.py.jinja": "connectors/{}.py",
    "expectations.py.jinja": "expectations/{}.py",
}
_FIXTURES = "tests/fixtures/{}"
_STEM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 30  # the stem is part of table names, which PostgreSQL cuts at 63 bytes
# Words that mean something else where a stem stands: all sources of a report, tables of the pool.
_RESERVED = frozenset({"all", "hub", "unify", "pool", "person", "household", "household_member"})
_PLAIN = re.compile(r"[^\x00-\x1f\"\\{}]{1,60}")


@dataclass(frozen=True)
class Agency:
    """What a new source is called and how it is reached."""

    stem: str
    protocol: str
    subject: str
    agency_zh: str
    agency_en: str
    title_zh: str
    title_en: str


def protocols() -> dict[str, dict[str, Any]]:
    """The protocols a new agency may speak: one a kit."""
    text = (_TEMPLATES / "protocols.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def check(agency: Agency, root: Path = CHECKOUT) -> None:
    """Refuse what cannot become a source.

    Raises:
        ConfigError: the stem is malformed, reserved or taken; the protocol or subject is unknown; a title is not plain text.
    """
    from sandbox.county.subjects import SUBJECTS

    stem = agency.stem
    if not _STEM.fullmatch(stem) or len(stem) > _LONGEST:
        raise ConfigError(
            f"{stem!r} is not a stem: lower-case words joined by _, at most {_LONGEST} characters", where="STEM",
            next_step="for example civil_registry",
        )  # fmt: skip
    if stem in _RESERVED or keyword.iskeyword(stem):
        raise ConfigError(f"{stem!r} is reserved", where="STEM", next_step="choose another stem")
    # A folder or module of that name would be hidden by the new file, or hide it.
    there = [p for room in ("schemas", "connectors", "expectations", "tests/fixtures") for p in sorted((root / room).glob(f"{stem}*"))]
    for path in there:
        if path.name.split(".")[0] == stem:
            raise ConfigError(f"{path.relative_to(root)} exists already", where="STEM", next_step="choose another stem, or edit that file")
    if agency.protocol not in protocols():
        raise ConfigError(f"no kit speaks {agency.protocol!r}", where="--protocol", next_step=f"one of {', '.join(protocols())}")
    if agency.subject not in SUBJECTS:
        raise ConfigError(f"the county knows no {agency.subject!r}", where="--subject", next_step=f"one of {', '.join(SUBJECTS)}")
    for flag in ("agency_zh", "agency_en", "title_zh", "title_en"):
        if not _PLAIN.fullmatch(getattr(agency, flag)):
            raise ConfigError("must be one line of at most 60 characters without quotes and braces", where="--" + flag.replace("_", "-"))


def _free_minute() -> int:
    """A minute after midnight at which no other agency is pulled."""
    taken = {int(c.delivery.schedule.split()[0]) for c in load_contracts().values()}
    free: list[int] = [m for m in (*range(30, 60, 5), *range(30, 60)) if m not in taken]
    if not free:
        raise ConfigError("all minutes from 0:30 to 0:59 are taken", where="schemas/", next_step="write the contract by hand")
    return free[0]


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True,
        autoescape=False,  # noqa: S701 - YAML and Python are written, not HTML
    )  # fmt: skip
    made.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    return made


def write(agency: Agency, root: Path = CHECKOUT) -> list[Path]:
    """Write the four files and record a first delivery from the simulated agency; on any failure nothing stays.

    Returns:
        What was written, relative to the root.

    Raises:
        ConfigError: see :func:`check`.
        HubError: the new source cannot be served or fetched.
    """
    check(agency, root)
    protocol = {"records_path": None, **protocols()[agency.protocol]}
    protocol["dialect"] = protocol["dialect"].format(stem=agency.stem) if "dialect" in protocol else None
    values = {**vars(agency), "protocol_name": agency.protocol, "protocol": protocol, "minute": _free_minute()}
    templates = _environment()
    made: list[Path] = []
    try:
        for template, place in _PLACES.items():
            path = root / place.format(agency.stem)
            made.append(path)
            path.write_text(templates.get_template(template).render(values), encoding="utf-8")
        folder = root / _FIXTURES.format(agency.stem)
        made.append(folder)
        (folder / "delivery").mkdir(parents=True)
        (folder / "cases.yml").write_text(templates.get_template("cases.yml.jinja").render(values), encoding="utf-8")
        rows, password = _record(agency.stem, folder / "delivery")
        expected = templates.get_template("expected.yml.jinja").render(rows=rows, zip_password=password)
        (folder / "expected.yml").write_text(expected, encoding="utf-8")
    except BaseException:
        for path in made:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise
    return [path.relative_to(root) for path in made]


def _record(stem: str, folder: Path) -> tuple[int, str | None]:
    """Serve the new source from a county of its own and keep what its connector fetches; rows, and the archive's password if any."""
    import connectors
    from connectors.delivery import FetchRequest

    importlib.invalidate_caches()
    with tempfile.TemporaryDirectory(prefix="hub-new-agency-") as home:
        values: dict[str, Any] = {"home": Path(home), "sandbox_persons": 200, "sandbox_noise": "none", "landing_url": None}
        settings = Settings(**values)
        Path(home).chmod(0o711)  # the exchange database's server runs as a user of its own
        with _served(stem, settings):
            endpoint = load_endpoint(stem, settings)
            request = FetchRequest(load_contract(stem), endpoint, settings.sandbox_epoch, Scope.FULL, None)
            fetched = connectors.load(stem).fetch(request)
            for part in fetched.parts():
                with (folder / part.name).open("wb") as file:
                    file.writelines(part.chunks)
    rows = fetched.manifest().declared_rows
    if not rows:
        raise HubError("the simulated agency holds nothing to record", where=f"schemas/{stem}.yml")
    return rows, endpoint.extra.get("zip_password")


@contextmanager
def _served(stem: str, settings: Settings) -> Iterator[None]:
    """The simulated agency in a thread of this process, on the county's first night."""
    from sandbox import clock
    from sandbox.servers.agency import open_agency
    from sandbox.servers.process import Server

    clock.set_night(settings, 1)
    server, loop = Server(open_agency(stem, settings)), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(60)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def command(
    stem: Annotated[str, typer.Argument(help="Name of the source: lower-case words joined by _.")],
    protocol: Annotated[str, typer.Option(help="How the agency is reached: " + ", ".join(protocols()))] = "rest-oauth",
    agency_zh: Annotated[str | None, typer.Option(help="The agency's name in Chinese.")] = None,
    agency_en: Annotated[str | None, typer.Option(help="The agency's name in English.")] = None,
    title_zh: Annotated[str | None, typer.Option(help="What it delivers, in Chinese.")] = None,
    title_en: Annotated[str | None, typer.Option(help="What it delivers, in English.")] = None,
    subject: Annotated[str, typer.Option(help="What the simulated county keeps there.")] = "person_file",
) -> None:
    """Write the four files of one more agency; they are valid as they stand and run tonight in the sandbox."""
    words = stem.replace("_", " ")
    agency = Agency(
        stem, protocol, subject,
        agency_zh or f"{stem}机构", agency_en or words.capitalize(), title_zh or f"{stem}登记", title_en or f"Register of {words}",
    )  # fmt: skip
    console = Console(soft_wrap=True, highlight=False)
    for path in write(agency):
        console.print(f"✓ {path}")
    console.print(
        f"\n下一步 next steps\n"
        f"  1  schemas/{stem}.yml          按协议改字段、代码集、分类 / make fields, code sets and classification those of the agreement\n"
        f"  2  hub night --source {stem}   沙箱中收取该来源 / take the source through a night (sandbox)\n"
        f"  3  hub report {stem}           关口的发现 / what the gate found\n"
        f"  4  make check test             四件套的测试随之运行 / the tests of the four files run by themselves\n"
        f"  5  make docs                   重新生成目录 / write the catalogue again"
    )

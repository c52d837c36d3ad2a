"""A small simulated agency of any protocol, served in this process over real sockets."""

import asyncio
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, time
from pathlib import Path
from time import monotonic as time_now
from typing import Any

import polars as pl
import pytest

from connectors.delivery import Fetched, FetchRequest, Manifest
from connectors.kits import exchange_database, rest, sftp, signed_gateway, zip_download
from hub.settings import Endpoint, Settings, load_endpoint
from sandbox import clock
from sandbox.agency import CHANGED
from sandbox.servers.agency import Agency, open_agency
from sandbox.servers.process import Server
from schemas.contract import Contract, Delivery, Field, Scope, Timeouts, Volume

EPOCH = date(2026, 3, 1)
STEM = "sixth"

_MEDIA = {
    "rest-oauth": ("json-pages", "utf-8", "data.records"),
    "signed-gateway": ("json-pages", "utf-8", "data!.rows"),
    "sftp-drop": ("csv-gzip", "gb18030", None),
    "exchange-database": ("csv", "utf-8", None),
    "zip-basic": ("xlsx-zip", "utf-8", None),
}


def field(name: str, header: str, *, is_key: bool = False, concept: str | None = None) -> Field:
    """A text field."""
    return Field(
        name=name, physical_name=header, title_zh=header, title_en=name, logical_type="string", physical_type="text",
        required=is_key, is_key=is_key, code_set=None, concept=concept, classification="internal", legal_basis=None,
        max_length=200, pattern=None, minimum=None, maximum=None, date_formats=(), truth_values=(), false_values=(),
        synonyms=(), synthetic={}, quality=(),
    )  # fmt: skip


def contract_of(protocol: str, **delivery: Any) -> Contract:
    """A contract of four text fields over one protocol; keywords replace parts of its delivery."""
    media, encoding, path = _MEDIA[protocol]
    agreed = Delivery(
        protocol=protocol, media=media, encoding=encoding, schedule="0 2 * * *", full_schedule=None, deadline=time(5),
        scopes=(Scope.FULL,) if protocol == "zip-basic" else (Scope.FULL, Scope.DELTA), declares=("rows", "as_of"),
        records_path=path, timeouts=Timeouts(2, 2, 1, 20), retries=3, page_size=100,
        volume=Volume(0.7, 1.5, 14, 0.1, 0.3), pool_slots=1,
    )  # fmt: skip
    return Contract(
        stem=STEM, title_zh="第六", title_en="A sixth agency", version="1.0.0", agency_zh="第六局", agency_en="Sixth",
        team="", contact="", legal_basis=("none",), authority=10,
        fields=(
            field("record_no", "记录编号", is_key=True), field("label", "名称", concept="person.birth_date"),
            field("number", "NUM", concept="person.resident_id"), field("remark", "备注", concept="person.area_code"),
        ),
        quality=(), delivery=replace(agreed, **delivery), synthetic={}, path=Path(f"{STEM}.yml"),
    )  # fmt: skip


def county(rows: int = 450) -> Any:
    """A stand-in county: every night one record in fifty changes, and five are added."""

    def snapshot(contract: Contract, night: int, _settings: Settings) -> pl.DataFrame:
        n = rows + 5 * (night - 1)
        place = pl.int_range(n, eager=True)
        texts = pl.DataFrame(
            {
                "key": [f"R{i:06d}" for i in range(n)],
                "label": [None if i % 7 == 0 else f'标签 {i}, “甲\\乙”\t·㐂𠮷"' for i in range(n)],
                "number": [str(i * 37) for i in range(n)],
                "remark": [None if i % 3 else "行一\n行二" for i in range(n)],
            }
        )
        texts.columns = [f.physical_name for f in contract.fields]
        born = pl.when(place < rows).then(1).otherwise((place - rows) // 5 + 2)
        touched = pl.when((place % 50 < night - 1) & (place % 50 > 0)).then((place % 50) + 1).otherwise(1)
        changed = pl.select(pl.max_horizontal(born, touched).cast(pl.Int32)).to_series()
        return texts.with_columns(changed.alias(CHANGED))

    return snapshot


def _waiting(county: Any, held_up: threading.Event | None) -> Any:
    def snapshot(contract: Contract, night: int, settings: Settings) -> pl.DataFrame:
        if held_up is not None and night > 1:
            held_up.wait(60)
        return county(contract, night, settings)

    return snapshot


_DROP = sftp.Dialect(data_name=STEM + "_{day:%Y%m%d}_{scope}.csv.gz", control_name=STEM + "_{day:%Y%m%d}_{scope}.ctl")


def fetch(request: FetchRequest) -> Fetched:
    """What a connector of the contract's protocol would do."""
    match request.contract.delivery.protocol:
        case "rest-oauth":
            return Fetched(rest.stream(request))
        case "signed-gateway":
            return Fetched(signed_gateway.stream(request))
        case "sftp-drop":
            return Fetched(sftp.stream(request, _DROP))
        case "exchange-database":
            return Fetched(exchange_database.stream(request))
        case _:
            return Fetched(zip_download.stream(request))


@dataclass(frozen=True)
class Served:
    """A running agency and the hub's side of its wire."""

    agency: Agency
    endpoint: Endpoint

    @property
    def settings(self) -> Settings:
        return self.agency.settings

    def break_by(self, fault: str, **arguments: Any) -> None:
        """Switch one fault on, alone."""
        path = self.settings.home / "sandbox" / "faults" / f"{STEM}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{"fault": fault, **arguments}]), encoding="utf-8")

    def mend(self) -> None:
        """Switch all faults off."""
        (self.settings.home / "sandbox" / "faults" / f"{STEM}.json").unlink(missing_ok=True)

    def night(self, night: int) -> None:
        """Move the county's clock."""
        clock.set_night(self.settings, night)

    def request(self, *, scope: Scope = Scope.FULL, since: date | None = None, day: date | None = None, **endpoint: Any) -> FetchRequest:
        """A request for the county's night; keywords replace parts of the endpoint."""
        day = day or clock.date_of(self.settings, clock.current_night(self.settings))
        return FetchRequest(self.agency.contract, self.endpoint.model_copy(update=endpoint), day, scope, since)

    def impatient(self, **timeouts: float) -> "Served":
        """The same agency under a contract with other time-outs and no retries."""
        delivery = self.agency.contract.delivery
        delivery = replace(delivery, timeouts=replace(delivery.timeouts, **timeouts), retries=0)
        return replace(self, agency=replace(self.agency, contract=replace(self.agency.contract, delivery=delivery)))


def settings_in(home: Path) -> Settings:
    """Settings of a hub under a folder."""
    values: dict[str, Any] = {"home": home, "sandbox_epoch": EPOCH}
    return Settings(**values)


@contextmanager
def served(protocol: str, home: Path, *, rows: int = 450, held_up: threading.Event | None = None, **delivery: Any) -> Iterator[Served]:
    """Serve an agency on night 1 until the block ends; with an event, it has the stock of no later night before that is set."""
    settings = settings_in(home)
    clock.set_night(settings, 1)
    agency = open_agency(STEM, settings, contract=contract_of(protocol, **delivery), snapshot=_waiting(county(rows), held_up))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = Server(agency)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(60)
    asyncio.run_coroutine_threadsafe(server.prepared(), loop).result(60)
    endpoint = load_endpoint(STEM, settings)
    quick = endpoint.model_copy(update={"extra": {**endpoint.extra, "backoff_s": 0.02}})
    try:
        yield Served(agency, quick)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def consumed(fetched: Fetched) -> tuple[list[tuple[str, bytes]], Manifest]:
    """All parts of a delivery as (name, bytes), and its manifest."""
    parts = [(part.name, b"".join(part.chunks)) for part in fetched.parts()]
    return parts, fetched.manifest()


def fingerprint(fetched: Fetched) -> str:
    """SHA-256 over the bytes of a delivery."""
    return hashlib.sha256(b"".join(data for _, data in consumed(fetched)[0])).hexdigest()


def listens(served: Served) -> None:
    """Return when an agency that was down takes connections again."""
    ends_at = time_now() + 10
    while time_now() < ends_at:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", served.agency.access.port)) == 0:
                return


@pytest.fixture(scope="session")
def agencies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """An agency of a protocol, on night 3 and without faults; each is started once."""
    running: dict[str, Served] = {}
    with ExitStack() as stack:

        def get(protocol: str) -> Served:
            if protocol not in running:
                running[protocol] = stack.enter_context(served(protocol, tmp_path_factory.mktemp(protocol)))
            running[protocol].mend()
            running[protocol].night(3)
            listens(running[protocol])
            return running[protocol]

        yield get

"""Every protocol brings the agency's rows, all of them and each once."""

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl
import pytest

from connectors.delivery import Fetched
from hub.errors import SourceUnavailable
from pipeline import readers
from sandbox.agency import CHANGED
from sandbox.servers.catalogue import applicable
from schemas.contract import Scope
from tests.served import EPOCH, Served, consumed, contract_of, county, fetch, fingerprint

PROTOCOLS = ("rest-oauth", "signed-gateway", "sftp-drop", "exchange-database", "zip-basic")
WITH_DELTAS = PROTOCOLS[:4]
Agencies = Callable[[str], Served]

pytestmark = pytest.mark.slow


def rows_of(served: Served, fetched: Fetched) -> pl.DataFrame:
    """The rows of a delivery, by the hub's own readers."""
    parts = [(name, [data]) for name, data in consumed(fetched)[0]]
    password = served.endpoint.extra.get("zip_password")
    return pl.concat(readers.read(served.agency.contract, parts, password=password), how="diagonal")


def held(served: Served, night: int, after: int = 0) -> pl.DataFrame:
    """What the county says the agency holds."""
    contract = served.agency.contract
    rows: pl.DataFrame = county()(contract, night, served.settings).filter(pl.col(CHANGED) > after).drop(CHANGED)
    return rows


def in_order(frame: pl.DataFrame, like: pl.DataFrame) -> pl.DataFrame:
    """Sorted, columns as in another frame, line ends as one."""
    return frame.select(pl.col(like.columns).str.replace_all("\r\n", "\n")).sort(like.columns[0])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_full_delivery_holds_every_row_once(agencies: Agencies, protocol: str) -> None:
    served = agencies(protocol)
    expected = held(served, 3)
    assert in_order(rows_of(served, fetch(served.request())), expected).equals(expected)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_manifest_says_what_the_agency_declares(agencies: Agencies, protocol: str) -> None:
    served = agencies(protocol)
    manifest = consumed(fetch(served.request()))[1]
    assert (manifest.scope, manifest.as_of_date, manifest.declared_rows) == (Scope.FULL, date(2026, 3, 3), 460)


@pytest.mark.parametrize("protocol", WITH_DELTAS)
def test_a_delta_holds_what_changed_since(agencies: Agencies, protocol: str) -> None:
    served = agencies(protocol)
    fetched = fetch(served.request(scope=Scope.DELTA, since=date(2026, 3, 2)))
    expected = held(served, 3, after=2)
    assert in_order(rows_of(served, fetched), expected).equals(expected)
    assert fetched.manifest().scope is Scope.DELTA
    assert fetched.manifest().declared_rows == expected.height > 0


@pytest.mark.parametrize("protocol", WITH_DELTAS)
def test_a_delta_is_never_asked_for_by_a_hub_that_holds_nothing(agencies: Agencies, protocol: str) -> None:
    fetched = fetch(agencies(protocol).request(scope=Scope.DELTA, since=None))
    assert consumed(fetched)[1].scope is Scope.FULL


def test_a_drop_without_the_missing_nights_gives_the_full_file(agencies: Agencies) -> None:
    fetched = fetch(agencies("sftp-drop").request(scope=Scope.DELTA, since=EPOCH - timedelta(days=5)))
    assert consumed(fetched)[1].scope is Scope.FULL


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_night_gives_the_same_bytes(agencies: Agencies, protocol: str) -> None:
    served = agencies(protocol)
    assert fingerprint(fetch(served.request())) == fingerprint(fetch(served.request()))


@pytest.mark.parametrize("protocol", ("sftp-drop", "exchange-database", "zip-basic"))
def test_files_are_streamed_in_bounded_chunks(agencies: Agencies, protocol: str) -> None:
    for part in fetch(agencies(protocol).request()).parts():
        assert all(0 < len(chunk) <= 1 << 20 for chunk in part.chunks)


def test_pages_are_as_many_as_the_rows_need(agencies: Agencies) -> None:
    names = [name for name, _ in consumed(fetch(agencies("rest-oauth").request()))[0]]
    assert names == [f"page-00000{n}.json" for n in range(1, 6)]


def test_a_delivery_that_was_not_read_has_no_manifest(agencies: Agencies) -> None:
    fetched = fetch(agencies("rest-oauth").request())
    next(fetched.parts())
    with pytest.raises(SourceUnavailable):
        fetched.manifest()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fault", ("rows_minus_40_percent", "renamed_column", "missing_column", "poison_rows", "duplicate_keys"))
def test_spoiled_rows_travel_for_the_gate_to_judge(agencies: Agencies, protocol: str, fault: str) -> None:
    served = agencies(protocol)
    assert fault in applicable(contract_of(protocol))
    good = fingerprint(fetch(served.request()))
    served.break_by(fault)
    assert fingerprint(fetch(served.request())) != good
    served.mend()
    assert fingerprint(fetch(served.request())) == good


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_kit_says_how_far_it_has_come_of_how_much(agencies: Agencies, protocol: str) -> None:
    seen = []
    for part in fetch(agencies(protocol).request()).parts():
        assert part.progress is not None
        for _ in part.chunks:
            seen.append(part.progress())
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total > 0
    if seen[-1].unit == "rows":
        assert seen[-1].total == 460

"""Every fault of a protocol is survived with the same bytes, or ends as the right error and never as a delivery."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from hub.errors import SourceChanged, SourceError, SourceRefused, SourceUnavailable
from sandbox.servers.catalogue import FAULTS, applicable
from tests.served import Served, consumed, contract_of, fetch, fingerprint

PROTOCOLS = ("rest-oauth", "signed-gateway", "sftp-drop", "exchange-database", "zip-basic")
Agencies = Callable[[str], Served]

# Protocol and fault, with arguments of the switch: after it, the delivery is the same to the byte.
SURVIVED = [
    ("rest-oauth", "unauthorized_once", {}),
    ("rest-oauth", "token_expires", {}),
    ("rest-oauth", "rate_limited", {"times": 1}),
    ("rest-oauth", "server_error_burst", {}),
    ("rest-oauth", "page_repeated", {"times": 2}),
    ("rest-oauth", "pages_overlap", {"times": 1}),
    ("rest-oauth", "truncated", {"times": 2}),
    ("rest-oauth", "clock_wrong", {}),
    ("signed-gateway", "clock_wrong", {}),
    ("zip-basic", "clock_wrong", {}),
    ("sftp-drop", "control_late", {}),
    ("signed-gateway", "rate_limited", {}),
    ("signed-gateway", "server_error_burst", {}),
    ("signed-gateway", "page_repeated", {"times": 2}),
    ("signed-gateway", "pages_overlap", {"times": 1}),
    ("signed-gateway", "truncated", {"times": 2}),
    ("zip-basic", "rate_limited", {"times": 1}),
    ("zip-basic", "server_error_burst", {}),
]

ENDED: list[tuple[str, str, type[SourceError]]] = [
    *((p, "down", SourceUnavailable) for p in PROTOCOLS),
    *((p, "refuse", SourceRefused) for p in PROTOCOLS),
    *((p, "truncated", SourceUnavailable) for p in PROTOCOLS if p != "zip-basic"),
    ("zip-basic", "truncated", SourceChanged),
    *((p, fault, SourceChanged) for p in PROTOCOLS[:2] for fault in ("pages_overlap", "page_repeated", "html_login", "empty_file")),
    *((p, "total_changes", SourceUnavailable) for p in PROTOCOLS[:2]),
    *((p, fault, SourceChanged) for p in PROTOCOLS[:2] for fault in ("nested_deep", "lone_surrogate")),
    ("sftp-drop", "yesterdays_stock", SourceUnavailable),
    *((p, "total_disagrees", SourceChanged) for p in (*PROTOCOLS[:2], "exchange-database")),
    ("rest-oauth", "error_in_200", SourceRefused),
    ("signed-gateway", "error_in_200", SourceRefused),
    ("zip-basic", "error_in_200", SourceChanged),
    ("zip-basic", "html_login", SourceChanged),
    ("zip-basic", "empty_file", SourceChanged),
    ("zip-basic", "wrong_checksum", SourceChanged),
    ("sftp-drop", "empty_file", SourceChanged),
    ("sftp-drop", "wrong_checksum", SourceChanged),
    ("sftp-drop", "control_missing", SourceUnavailable),
    ("sftp-drop", "half_written", SourceUnavailable),
]

# Nothing is interpreted on the way in: these are seen when the landed file is read.
FOUND_BY_PARSE = {
    "sftp-drop": {"encoding_utf8", "bom", "total_disagrees"},
    "zip-basic": {"zip_bomb", "entity_bomb", "total_disagrees"},
}
# An earlier stock is a good delivery of an earlier day: its date says so.
FOUND_BY_DATE = {"yesterdays_stock"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("protocol", "fault", "arguments"), SURVIVED)
def test_survived_with_identical_bytes(agencies: Agencies, protocol: str, fault: str, arguments: dict[str, int]) -> None:
    served = agencies(protocol)
    good = fingerprint(fetch(served.request()))
    served.break_by(fault, **arguments)
    assert fingerprint(fetch(served.request())) == good
    assert served.agency.switches.times_struck(fault) > 0


@pytest.mark.parametrize(("protocol", "fault", "error"), ENDED)
def test_ended_as_the_right_error(agencies: Agencies, protocol: str, fault: str, error: type[SourceError]) -> None:
    served = agencies(protocol)
    served.break_by(fault)
    with pytest.raises(SourceError) as raised:
        consumed(fetch(served.request()))
    assert type(raised.value) is error or isinstance(raised.value, error)
    assert raised.value.where
    assert "source sixth, 2026-03-03" in raised.value.where
    assert raised.value.next_step
    assert not any(text in str(raised.value) for text in ("标签", "行一", served.agency.access.secret))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_line_that_hangs_is_given_up(agencies: Agencies, protocol: str) -> None:
    served = agencies(protocol)
    served.break_by("hang", after_bytes=3000)
    with pytest.raises(SourceUnavailable, match="took longer than"):
        consumed(fetch(served.impatient(first_byte_s=1, idle_s=0.5).request()))


@pytest.mark.parametrize("protocol", ("rest-oauth", "zip-basic"))
def test_a_trickle_is_given_up_when_the_whole_takes_too_long(agencies: Agencies, protocol: str) -> None:
    served = agencies(protocol)
    served.break_by("slow")
    with pytest.raises(SourceUnavailable, match="the whole fetch took longer than 2 s"):
        consumed(fetch(served.impatient(idle_s=1.5, first_byte_s=1.5, total_s=2).request()))


@pytest.mark.parametrize("protocol", ("signed-gateway", "sftp-drop", "exchange-database"))
def test_a_trickle_from_the_first_byte_is_given_up(agencies: Agencies, protocol: str) -> None:
    served = agencies(protocol)
    served.break_by("slow", after_bytes=0)
    with pytest.raises(SourceUnavailable):
        consumed(fetch(served.impatient(connect_s=2, idle_s=1.5, first_byte_s=1, total_s=4).request()))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_credential_is_refused(agencies: Agencies, protocol: str) -> None:
    served = agencies(protocol)
    with pytest.raises(SourceRefused) as raised:
        consumed(fetch(served.request(secret=SecretStr("not-the-secret"))))
    assert "not-the-secret" not in str(raised.value)


def test_a_server_with_another_host_key_is_refused(agencies: Agencies) -> None:
    served = agencies("sftp-drop")
    stranger = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8Ht8Z3j6yDWPBHQtOp/R9rjWvfMYo3MSA/K6q8D86r"
    with pytest.raises(SourceRefused, match="host key"):
        consumed(fetch(served.request(extra={**served.endpoint.extra, "host_key": stranger})))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_fault_of_a_protocol_has_its_test(protocol: str) -> None:
    told = {fault for p, fault, _ in (*SURVIVED, *ENDED) if p == protocol}
    told |= {"slow", "hang"} | FOUND_BY_DATE | FOUND_BY_PARSE.get(protocol, set())
    told |= {name for name, fault in FAULTS.items() if fault.is_content}
    assert set(applicable(contract_of(protocol))) <= told

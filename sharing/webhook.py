"""A notice on its way to a receiver: signed after Standard Webhooks, sent over https, to no address it should not reach."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from hub.settings import Settings

SECRET_PREFIX = "whsec_"
_TIMEOUT_S = 10.0  # the whole of it: a receiver that answers a byte a second is given up as well
_LONGEST = 500
# Nothing of an office answers there: "this network"; shared address space (RFC 6598), where a cloud keeps what answers for its machines (Alibaba Cloud:
# 100.100.100.200); other clouds' such places; IPv4 addresses in another dress (6to4, Teredo).
_KEPT_FROM = [
    ipaddress.ip_network(n) for n in ("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "fd00:ec2::/32", "2002::/16", "2001::/32", "64:ff9b::/96")
]  # fmt: skip
_MOST_WAIT_S = 86_400


@dataclass(frozen=True)
class Outcome:
    """What became of one try.

    Attributes:
        is_taken: the receiver answered with a status of success.
        status: its status; None = there was no answer.
        fault: why it was not taken, in a word; None = it was.
        retry_after_s: seconds it asked to be left alone; None = it did not say.
    """

    is_taken: bool
    status: int | None = None
    fault: str | None = None
    retry_after_s: int | None = None

    @property
    def is_down(self) -> bool:
        """Whether the receiver is away or overloaded, so that another notice would fare no better."""
        return not self.is_taken and (self.status is None or self.status >= 500 or self.status in (408, 425, 429))


def secret(settings: Settings, subscription_id: str, number: int = 0) -> str:
    """The secret a subscription's notices are signed with. It follows from the hub's own key, so it is kept nowhere.

    Args:
        settings: whose key.
        subscription_id: of the subscription.
        number: how often the secret was given anew.
    """
    key = bytes.fromhex(settings.secret("webhook.key"))
    of = f"{subscription_id} {number}" if number else subscription_id
    return SECRET_PREFIX + base64.b64encode(hmac.digest(key, of.encode(), hashlib.sha256)).decode()


def secrets_in_force(settings: Settings, subscription: Any, now: datetime) -> list[str]:
    """The secrets a subscription's notices are signed with at an instant: its own, and the one before while that still counts.

    Args:
        settings: whose key.
        subscription: its row.
        now: the instant.
    """
    number, until = subscription["secret_number"], subscription["former_secret_until"]
    numbers = [number, number - 1] if until is not None and now < until else [number]
    return [secret(settings, subscription["subscription_id"], n) for n in numbers]


def signature(secrets: Sequence[str], notice_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature`` (Standard Webhooks, symmetric: HMAC-SHA256 over id, timestamp and body): one for each secret, with a space between."""
    signed = f"{notice_id}.{timestamp}.".encode() + body
    keys = [base64.b64decode(s.removeprefix(SECRET_PREFIX)) for s in secrets]
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)


def is_sound(address: str, settings: Settings) -> bool:
    """Whether an address is one notices may be sent to, as far as it can be seen without asking who is there."""
    if len(address) > _LONGEST or not address.isascii() or not address.isprintable() or " " in address or "\\" in address:
        return False
    try:
        url = urlsplit(address)
        port = url.port
        httpx.URL(address)  # the sender reads it anew, and knows addresses to be none that are split well
    except (ValueError, httpx.InvalidURL):
        return False
    if not url.hostname or url.username is not None or url.password is not None or url.fragment or port == 0:
        return False
    named, host = settings.sharing_receivers.split(), url.hostname.rstrip(".")
    if named and not any(host == n or (n.startswith(".") and host.endswith(n)) for n in named):
        return False
    if url.scheme == "https":
        return True
    return url.scheme == "http" and settings.sharing_loopback_receivers and url.hostname in ("127.0.0.1", "localhost")


def _is_reachable(place: str, *, with_loopback: bool) -> bool:
    address = ipaddress.ip_address(place.split("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return with_loopback
    # Offices' own networks are private ones; what answers on link-local addresses is the machine's keeper.
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        return False
    return not any(address in network for network in _KEPT_FROM) and not _is_this_machine(str(address))


def _is_this_machine(place: str) -> bool:
    """Whether an address is one of this machine's own: only then is it what the machine itself would send from. Nothing is sent."""
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((place, 9))
        except OSError:  # nothing leads there
            return False
        return str(asking.getsockname()[0]) == place


async def _placed(host: str, port: int, settings: Settings) -> str | None:
    """The address a host has now; None where any that it names must not be reached, or it names none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    places = [str(f[4][0]) for f in found]
    if not places or not all(_is_reachable(p, with_loopback=settings.sharing_loopback_receivers) for p in places):
        return None
    return places[0]


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


async def send(settings: Settings, address: str, headers: dict[str, str], body: bytes) -> Outcome:
    """Send a notice once. Redirects are answers like others; what the receiver says beyond its status is not read.

    The name is resolved here and that very address is called, so it cannot mean another place a moment later.
    """
    if not is_sound(address, settings):
        return Outcome(False, fault="address refused")
    url = httpx.URL(address)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            place = await _placed(url.host, url.port or (443 if url.scheme == "https" else 80), settings)
            if place is None:
                return Outcome(False, fault="address refused")
            async with httpx.AsyncClient(verify=_trust(), follow_redirects=False, trust_env=False, timeout=_TIMEOUT_S) as client:
                named = {**headers, "Host": url.netloc.decode(), "Content-Type": "application/json", "User-Agent": "assistance-hub"}
                extensions = {"sni_hostname": url.host} if url.scheme == "https" else {}
                async with client.stream("POST", url.copy_with(host=place), headers=named, content=body, extensions=extensions) as answer:
                    status = answer.status_code
                    said = answer.headers.get("retry-after", "")
    except TimeoutError:
        return Outcome(False, fault="timed out")
    except socket.gaierror:
        return Outcome(False, fault="name unknown")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ssl.SSLError, ValueError) as error:
        return Outcome(False, fault="timed out" if isinstance(error, httpx.TimeoutException) else "not reached")
    if 200 <= status < 300:
        return Outcome(True, status)
    return Outcome(False, status, f"status {status}", min(int(said), _MOST_WAIT_S) if said.isascii() and said.isdigit() else None)

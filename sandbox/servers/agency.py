"""One simulated agency: its contract, its stock, its faults and whom it lets in."""

import hmac
from dataclasses import dataclass
from pathlib import Path

from hub.settings import Settings
from sandbox.agency import snapshot
from sandbox.endpoints import Access, provision
from sandbox.servers.stock import Snapshot, Stock
from sandbox.servers.switches import Switches
from schemas.contract import Contract, load_contract


@dataclass(frozen=True)
class Agency:
    """What every server of an agency needs.

    Attributes:
        folder: the agency's own folder, for files it drops and databases it keeps.
    """

    contract: Contract
    settings: Settings
    access: Access
    switches: Switches
    stock: Stock
    folder: Path

    def is_secret(self, given: str) -> bool:
        """Whether a password is the hub's, compared in constant time."""
        return hmac.compare_digest(given.encode(), self.access.secret.encode())

    def is_username(self, given: str) -> bool:
        """Whether an account is the hub's, compared in constant time."""
        return hmac.compare_digest(given.encode(), self.access.username.encode())


def open_agency(stem: str, settings: Settings, *, contract: Contract | None = None, snapshot: Snapshot = snapshot) -> Agency:
    """Open an agency; port and secrets are made if there are none.

    Args:
        stem: name of the source.
        settings: home folder, county and clock.
        contract: the one of ``stem`` when None.
        snapshot: the county.

    Raises:
        ContractError: there is no such contract.
        ConfigError: no simulated server speaks its protocol.
    """
    contract = contract or load_contract(stem)
    switches = Switches(settings.home / "sandbox" / "faults" / f"{stem}.json")
    return Agency(
        contract=contract,
        settings=settings,
        access=provision(stem, settings, contract=contract),
        switches=switches,
        stock=Stock(contract, settings, switches, snapshot=snapshot, is_scheduled=contract.delivery.protocol == "zip-basic"),
        folder=settings.home / "sandbox" / "agencies" / stem,
    )

"""Run one simulated agency until it is stopped."""

import argparse
import sys

from hub.errors import ConfigError, HubError
from hub.settings import get_settings
from sandbox.endpoints import provision
from sandbox.servers import rest
from schemas.contract import load_contract

_SERVERS = {"rest-oauth": rest.serve}


def main() -> int:
    """Serve; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.servers", description=__doc__)
    parser.add_argument("stem", help="the source, as its contract is named")
    stem = parser.parse_args().stem
    try:
        settings = get_settings()
        contract = load_contract(stem)
        if contract.delivery.protocol not in _SERVERS:
            raise ConfigError(f"no simulated agency speaks {contract.delivery.protocol!r}", where=f"schemas/{stem}.yml delivery.protocol")
        _SERVERS[contract.delivery.protocol](contract, settings, provision(stem, settings))
    except HubError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

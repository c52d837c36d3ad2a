"""`hub doctor`: what is wrong with this machine or configuration, and how to mend it. Looks only: nothing is made or started."""

from collections.abc import Iterator

from hub.errors import ConfigError
from hub.settings import get_settings
from pipeline.doctor import configuration, machine, running, stores
from pipeline.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]


def examine() -> Iterator[Finding]:
    """Every finding, as it is made, the machine's first. Wrong settings are a finding too; what needs settings is then left out."""
    yield from machine.interpreter()
    try:
        settings = get_settings()
    except ConfigError as error:
        yield Finding("settings", State.FAULT, f"设置有误 {error.where or ''}", str(error), error.next_step)
        yield from configuration.contracts()
        return
    yield Finding("settings", State.OK, "设置有效", "settings are valid")
    yield from machine.home(settings)
    yield from configuration.contracts()
    yield from configuration.secrets(settings)
    yield from configuration.endpoints(settings)
    yield from running.ports(settings)
    yield from running.services(settings)
    yield from stores.database(settings)
    yield from stores.landing(settings)
    yield from running.airflow(settings)

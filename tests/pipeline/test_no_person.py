"""No person is in what a night leaves behind: logs, reports, ledger, quarantine, what the command line says."""

from datetime import date

import pytest
import sqlalchemy as sa

from tests import population
from tests.conftest import Hub
from warehouse import database

pytestmark = pytest.mark.slow
_LEDGERS = ("ops", "landing", "quarantine")


def ledgers(hub: Hub) -> dict[str, str]:
    """The rows of every table that tells of nights rather than of persons, as text."""
    found = {}
    with database.engine(hub.settings).connect() as connection:
        tables = connection.execute(
            sa.text("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = ANY(:rooms)"),
            {"rooms": list(_LEDGERS)},
        ).all()
        assert {schema for schema, _ in tables} == set(_LEDGERS)
        for schema, name in tables:
            rows = connection.scalars(sa.text(f'SELECT t::text FROM {schema}."{name}" t'))
            found[f"{schema}.{name}"] = "\n".join(rows)
    return found


def test_the_search_finds_a_person_where_there_is_one(five_nights: Hub) -> None:
    people = population.of(five_nights.settings, [1])
    for kind, values in people.items():
        someone = min(values)
        found = population.search(people, {"a log": f'{{"event": "x{someone}y"}}', "another": "nobody"})
        assert found.keys() == {"a log"}, kind


def test_no_person_is_in_anything_a_night_with_a_broken_source_leaves_behind(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    for stem, fault in {
        "education": "poison_rows",
        "health": "rare_code",
        "housing": "renamed_column",
        "medical_insurance": "impossible_dates",
    }.items():
        hub.break_by(stem, fault)
    hub.night(32)
    day = str(date(2026, 4, 1))
    commands = [
        ("night", "--date", day), ("night", "--date", day, "--json"), ("status",), ("status", "--json"), ("services",), ("config",),
        ("quarantine", "list"), ("quarantine", "list", "--json"), ("ticket", "list"), ("ticket", "books"), ("deliveries",), ("deliveries", "--json"), ("fingerprint",),
        *(("quarantine", "show", stem, "--limit", "500") for stem in ("education", "health", "medical_insurance")),
        *(("report", stem, "--date", day) for stem in ("education", "health", "medical_insurance", "disability")),
    ]  # fmt: skip
    texts = {}
    for arguments in commands:
        done = hub.command(*arguments)
        texts["hub " + " ".join(arguments)] = done.stdout + done.stderr
        assert done.stdout, arguments
    assert "text_is_formula" in texts["hub quarantine list"] and "not_date" in texts["hub quarantine list"]
    texts |= ledgers(hub) | population.files_of(hub.settings.home)
    assert any(name.startswith("logs/") for name in texts) and any(name.startswith("reports/") for name in texts)
    assert population.told(population.search(population.of(hub.settings, [1, 32]), texts)) == {}

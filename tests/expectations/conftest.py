"""A warehouse with nothing but staging, and the recorded deliveries of every agency."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
import yaml

from expectations.gate import Verdict, judge
from expectations.rules import Circumstances, Rule
from hub.postgres import Cluster, free_port
from identity.normalise import CONCEPTS, normalise
from pipeline import parsing, readers
from schemas.contract import Contract, load_contract, stems
from warehouse import agency_tables, staging
from warehouse.quarantine import staging_selectable

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
NIGHT = date(2026, 3, 1)
STEMS = stems()


@dataclass(frozen=True)
class Recorded:
    """A recorded delivery: its raw rows, and what is known about them."""

    contract: Contract
    raw: pl.DataFrame
    expected: dict[str, Any]
    cases: list[dict[str, Any]]

    def good(self, copies: int = 1) -> pl.DataFrame:
        """The rows nothing is wrong with, so many times over under keys of their own."""
        bad = {3, 5, 7, 9}
        good = self.raw.with_row_index(offset=1).filter(~pl.col("index").is_in(bad)).drop("index")
        key = pl.col(self.contract.key.physical_name)
        return pl.concat([good.with_columns(key + f"-{n}" if n else key) for n in range(copies)])

    def changed(self, row: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """A raw row with other values, given by field name."""
        return row | {self.contract.by_name(name).physical_name: value for name, value in values.items()}


def recorded(stem: str) -> Recorded:
    """The recorded delivery of an agency."""
    contract, folder = load_contract(stem), FIXTURES / stem
    expected = yaml.safe_load((folder / "expected.yml").read_text(encoding="utf-8"))
    parts = [(p.name, [p.read_bytes()]) for p in sorted((folder / "delivery").iterdir())]
    raw = pl.concat(readers.read(contract, parts, password=expected.get("zip_password")), how="diagonal")
    cases = yaml.safe_load((folder / "cases.yml").read_text(encoding="utf-8"))
    return Recorded(contract, raw, expected, cases)


class Desk:
    """Puts raw rows on the gate's desk."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sa.create_engine(url)
        with self.engine.begin() as connection:
            connection.execute(sa.schema.CreateSchema("staging", if_not_exists=True))

    def stage(self, contract: Contract, raw: pl.DataFrame) -> parsing.Batch:
        """Type raw rows into the staging table of the night."""
        batch = parsing.parse_batch(contract, raw, 0, parsing.Drift())
        concepts = {c: spec.name for c in CONCEPTS if (spec := contract.by_concept(c))}
        keys = normalise(batch.typed.select(batch.typed[n].alias(c) for c, n in concepts.items()))
        with self.engine.begin() as connection:
            staging.fill(connection, contract, NIGHT, [batch.typed.hstack(keys)])
        return batch

    def judge(self, contract: Contract, raw: pl.DataFrame, **circumstances: Any) -> Verdict:
        """The verdict on raw rows."""
        batch = self.stage(contract, raw)
        now = Circumstances(**{"business_date": NIGHT, "as_of_date": NIGHT, "scope": "full"} | circumstances)
        schema, table = agency_tables.staging_table(contract.stem, str(NIGHT)).replace('"', "").split(".")
        return judge(contract, now, url=self.url, schema=schema, table=table, rows=batch.typed.height)

    def failing(self, contract: Contract, rule: Rule) -> list[int]:
        """Row numbers for which a rule's condition holds in the database."""
        assert rule.fails is not None
        staged = staging_selectable(contract, str(NIGHT))
        query = sa.select(staged.c.row_number).where(rule.fails(staged)).order_by(staged.c.row_number)
        with self.engine.connect() as connection:
            return list(connection.scalars(query))


@pytest.fixture(scope="session")
def desk() -> Iterator[Desk]:
    """A gate's desk on a PostgreSQL of its own."""
    folder = Path(tempfile.mkdtemp(prefix="hub-gate-"))
    folder.chmod(0o711)
    cluster = Cluster(folder / "data", free_port(), secrets.token_hex(8))
    cluster.start()
    made = Desk(cluster.url())
    yield made
    made.engine.dispose()
    cluster.stop(mode="immediate")
    shutil.rmtree(folder, ignore_errors=True)

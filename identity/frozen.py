"""What the night weighs by, held still between retrainings: a model, how frequent values are, how many persons, what sources cover.

Nothing here is taken from the records at hand: a pair weighs the same whichever night brings it, and whoever else is in the pool.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from identity import model, score
from identity.features import NO_DAY, Features
from identity.model import Model

_NEVER = 1e-12
_EPOCH = np.datetime64("1970-01-01")


@dataclass(frozen=True)
class Frozen:
    """One version of all that pairs are weighed by.

    Attributes:
        version: 1 = the one that comes with the hub; others were fitted to the pool.
        weights: what agreement weighs.
        persons: among about how many persons two are compared.
        coverage: share of the persons that each source holds.
        usual_coverage: the same for a source that is not listed.
        usual: share of a value that is not listed, by field; a field that is not listed takes it from `weights`.
        shares: how frequent listed values are, by field.
    """

    version: int
    weights: Model
    persons: float
    coverage: Mapping[str, float]
    usual_coverage: float
    usual: Mapping[str, float]
    shares: Mapping[str, Mapping[str, float]] = field(repr=False)

    def to_json(self) -> str:
        """Everything but the listed values."""
        return json.dumps(
            {
                "persons": self.persons, "coverage": dict(self.coverage), "usual_coverage": self.usual_coverage, "usual": dict(self.usual),
                "weights": json.loads(self.weights.to_json()),
            }
        )  # fmt: skip

    def listed(self) -> pl.DataFrame:
        """The listed values: ``field``, ``value``, ``share``."""
        rows = [(f, value, share) for f, values in self.shares.items() for value, share in values.items()]
        return pl.DataFrame(rows, schema={"field": pl.String, "value": pl.String, "share": pl.Float64}, orient="row")


def load() -> Frozen:
    """The version that comes with the hub."""
    found = json.loads(resources.files("identity").joinpath("data", "night.json").read_text(encoding="utf-8"))
    return _frozen(found, model.load(), found["shares"])


def from_json(version: int, text: str, listed: pl.DataFrame) -> Frozen:
    """A version from :meth:`Frozen.to_json` and :meth:`Frozen.listed`."""
    found = json.loads(text)
    shares: dict[str, dict[str, float]] = {}
    for name, value, share in listed.sort("field", "value").iter_rows():
        shares.setdefault(name, {})[value] = share
    return _frozen({**found, "version": version}, model.from_json(json.dumps(found["weights"])), shares)


def _frozen(found: dict[str, Any], weights: Model, shares: Mapping[str, Mapping[str, float]]) -> Frozen:
    return Frozen(found["version"], weights, found["persons"], found["coverage"], found["usual_coverage"], found["usual"], shares)


def written_days(days: npt.NDArray[np.int32]) -> list[str]:
    """Days since 1970 as listed values name them: 2026-03-01."""
    found: list[str] = np.datetime_as_string(_EPOCH + days.astype("timedelta64[D]")).tolist()
    return found


def frequencies(frozen: Frozen, features: Features) -> score.Frequencies:
    """How frequent the values of some records are, by a frozen version."""
    by_field = {}
    for name, level, column in score.frequent():
        usual = frozen.usual.get(column, float(frozen.weights.stranger[name][level]))
        listed = frozen.shares.get(column, {})
        by_field[column] = np.array([*(listed.get(v, usual) for v in features.coded[column].values), usual])
    whole = frozen.shares.get("full", {})
    by_field["full"] = np.array([*(whole.get(v, _NEVER) for v in features.coded["full"].values), _NEVER])
    days = np.unique(features.birth[features.birth != NO_DAY])
    usual, first = frozen.usual["birth"], frozen.usual["first_january"]
    written = written_days(days)
    listed = frozen.shares.get("birth", {})
    share = np.array([listed.get(day, first if day.endswith("-01-01") else usual) for day in written])
    return score.Frequencies(by_field, {"days": days, "share": share}, frozen.persons)

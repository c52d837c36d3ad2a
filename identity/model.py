"""The model: how likely each level of agreement is for one person's records, for two strangers, and for two members of one family.

Fellegi and Sunter (1969) weigh agreement by the odds of "one person" against "two persons". Families break that: members share address,
telephone and family name, so two siblings look like one person. There are therefore two kinds of "two persons", and a pair must be
more likely one person than either.
"""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from identity.levels import LEVELS

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """Probabilities of every level of every field.

    Attributes:
        version: name of the model; told with every explanation.
        same: of two records of one person, by field; index = level, level 0 (missing) is 1.
        stranger: of two persons who have nothing to do with each other. For agreement on a value, the value's own frequency counts
            where that is higher.
        family: of two members of one family or household.
        family_odds: how many pairs of family members stand against one pair of records of one person, among pairs compared.
        threshold_bits: a pair this much more likely one person than not (log2 of the odds) is a link.
    """

    version: str
    same: dict[str, Weights]
    stranger: dict[str, Weights]
    family: dict[str, Weights]
    family_odds: float
    threshold_bits: float

    def to_json(self) -> str:
        """The model as text; :func:`from_json` reads it back."""
        tables = {
            field: {k: [round(float(v), 9) for v in getattr(self, k)[field][1:]] for k in ("same", "stranger", "family")}
            for field in self.same
        }
        head = {"version": self.version, "family_odds": self.family_odds, "threshold_bits": self.threshold_bits}
        return json.dumps(head | {"fields": tables}, indent=1)


def from_json(text: str) -> Model:
    """A model from its text."""
    found: dict[str, Any] = json.loads(text)
    tables = {k: {f: np.array([1.0, *t[k]]) for f, t in found["fields"].items()} for k in ("same", "stranger", "family")}
    for field, levels in LEVELS.items():
        for table in tables.values():
            assert table[field].size == len(levels), field
    return Model(found["version"], **tables, family_odds=found["family_odds"], threshold_bits=found["threshold_bits"])


def load(name: str = "residents") -> Model:
    """A model that comes with the hub."""
    return from_json(resources.files("identity").joinpath("data", f"{name}.json").read_text(encoding="utf-8"))

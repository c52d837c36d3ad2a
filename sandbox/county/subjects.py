"""What agencies keep about persons: one function a subject, each gives the rows an agency of that kind could hold.

Every attribute is a pure function of seed and person, so a record does not change unless its person does.
"""

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl

from hub.errors import ContractError


def uniform(seed: int, label: str, n: int) -> np.ndarray:
    """`n` numbers from 0 to 1 that depend on seed and label alone; a longer call begins with the same numbers."""
    return np.random.default_rng([seed, *label.encode()]).random(n)


def _age(people: pl.DataFrame, day: date) -> np.ndarray:
    return np.asarray((np.datetime64(day) - people["birth_date"].to_numpy().astype("datetime64[D]")).astype(int) / 365.25)


def _days(base: date, offset: np.ndarray) -> pl.Series:
    return pl.Series(np.datetime64(base) - offset.astype(int).astype("timedelta64[D]"))


def person_file(people: pl.DataFrame, seed: int, day: date, epoch: date) -> pl.DataFrame:
    """Health: one row a person."""
    n, age = people.height, _age(people, day)
    u = {k: uniform(seed, k, n) for k in ("illness", "disease", "cost", "team", "visit", "care", "risk")}
    major = 0.004 + 0.05 * np.clip((age - 35) / 50, 0, 1)
    chronic = 0.02 + 0.5 * np.clip((age - 30) / 50, 0, 1)
    illness = np.where(
        u["illness"] < 0.005, "3", np.where(u["illness"] < 0.005 + major, "2", np.where(u["illness"] < 0.005 + major + chronic, "1", "0"))
    )
    is_ill, is_mental = np.isin(illness, ["2", "3"]), illness == "3"
    disease = np.char.zfill((u["disease"] * 28 + 1).astype(int).astype("U2"), 2)
    visit = np.maximum(people["changed_night"].to_numpy() - 1, 0)
    return people.with_columns(
        illness_class=pl.Series(illness),
        disease_code=pl.Series(np.where(is_mental, "29", np.where(is_ill, disease, "")), dtype=pl.String),
        diagnosed_date=pl.when(pl.Series(is_ill)).then(_days(epoch, 30 + u["disease"] * 3000)),
        self_care_level=pl.Series(np.where(is_ill | (age > 75), (1 + u["care"] * 3).astype(int).astype("U1"), "1")),
        mental_risk_level=pl.Series(np.where(is_mental, (u["risk"] * 5).astype(int).astype("U1"), ""), dtype=pl.String),
        team_name=pl.format("家庭医生团队{}组", pl.Series((1 + u["team"] * 60).astype(int))),
        contract_start_date=_days(epoch, 10 + u["team"] * 700),
        contract_end_date=_days(epoch, 10 + u["team"] * 700 - 365 * 3),
        last_visit_date=_days(epoch, 5 + u["visit"] * 200 - visit),
        medical_cost_yuan=pl.Series(np.round(np.where(is_ill, 20000, 800) * np.exp(u["cost"] * 2 - 1), 2).astype("U12")),
    )


SUBJECTS: dict[str, Callable[[pl.DataFrame, int, date, date], pl.DataFrame]] = {"person_file": person_file}


def rows(subject: str, people: pl.DataFrame, seed: int, day: date, epoch: date) -> pl.DataFrame:
    """The rows agencies could hold on a subject.

    Raises:
        ContractError: the county knows no such subject.
    """
    try:
        return SUBJECTS[subject](people, seed, day, epoch)
    except KeyError:
        raise ContractError(
            f"the county knows no subject {subject!r}", where="customProperties.synthetic.subject", next_step=f"one of {', '.join(SUBJECTS)}"
        ) from None

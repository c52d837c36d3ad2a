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
    n, age = people.height, _age(people, epoch)
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


def _yuan(amount: np.ndarray) -> pl.Series:
    return pl.Series(np.char.mod("%.2f", amount))


def _guarded(people: pl.DataFrame) -> pl.DataFrame:
    """Everybody with the head of the household they live with as guardian; null for heads.

    A record that names a guardian changes when the guardian does. The relation is the guardian's to the person (GB/T 4761).
    """
    heads = people.filter(pl.col("living_relation") == "02").unique("living_home", keep="first", maintain_order=True)
    joined = people.join(
        heads.select(
            "living_home", guardian_name="name", guardian_resident_id="resident_id", guardian_phone="phone", head_sex="sex",
            head_changed="changed_night",
        ),
        on="living_home", how="left", maintain_order="left",
    )  # fmt: skip
    is_head, is_man = pl.col("living_relation") == "02", pl.col("head_sex") == "1"
    relation = (
        pl.when(pl.col("living_relation").is_in(["20", "22", "30"])).then(pl.when(is_man).then(pl.lit("51")).otherwise(pl.lit("52")))
        .when(pl.col("living_relation") == "41").then(pl.when(is_man).then(pl.lit("61")).otherwise(pl.lit("62")))
        .when(pl.col("living_relation") == "12").then(pl.lit("11"))
        .when(pl.col("living_relation").is_in(["51", "52"])).then(pl.when(is_man).then(pl.lit("20")).otherwise(pl.lit("30")))
        .otherwise(pl.lit("97"))
    )  # fmt: skip
    names = ("guardian_name", "guardian_resident_id", "guardian_phone")
    return joined.with_columns(
        *(pl.when(~is_head).then(pl.col(c)).alias(c) for c in names),
        guardian_relation=pl.when(~is_head & pl.col("guardian_name").is_not_null()).then(relation),
        changed_night=pl.max_horizontal("changed_night", pl.when(~is_head).then("head_changed")),
    ).drop("head_sex", "head_changed")


def schooling(people: pl.DataFrame, seed: int, day: date, epoch: date) -> pl.DataFrame:
    """Education: one row a student, from kindergarten to university. Ages are of the first night: nobody changes school at night."""
    n, age = people.height, _age(people, epoch)
    u = {k: uniform(seed, k, n) for k in ("school", "goes", "hardship", "aid", "board", "status")}
    bounds = np.array([3, 6, 12, 15, 18, 22])
    place = np.searchsorted(bounds, age, side="right") - 1
    stage = np.array(["11", "21", "31", "34", "41", "41", "11"])[place]
    chance = np.array([0.8, 0.995, 0.99, 0.9, 0.55, 0.0, 0.0])[place]
    hardship = np.where(u["hardship"] < 0.12, np.char.zfill((1 + u["hardship"] * 99).astype(int).astype("U2"), 2), "00")
    is_aided = hardship != "00"
    grade = np.clip((age - bounds[np.clip(place, 0, 5)]).astype(int) + 1, 1, 6)
    school = (u["school"] * 60).astype(int)
    rows = _guarded(people).with_columns(
        stage=pl.Series(stage),
        school_code=pl.format("{}42{}", pl.Series(stage), pl.Series(np.char.zfill(school.astype("U6"), 6))),
        school_name=pl.format("公安县第{}学校", pl.Series(school + 1)),
        grade=pl.Series(grade.astype("U1")),
        roll_no=pl.format("G{}", "resident_id"),
        roll_status=pl.Series(np.where(u["status"] < 0.985, "1", "2")),
        hardship_class=pl.Series(hardship),
        boarding=pl.Series(np.where((u["board"] < 0.3) & (age > 10), "是", "否")),
        aid_type=pl.Series(np.where(is_aided, np.where(u["aid"] < 0.5, "02", "04"), "00")),
        aid_yuan=_yuan(np.where(is_aided, np.round(500 + u["aid"] * 3000), 0)),
        enrolled_date=pl.Series(np.array([f"{epoch.year - g}-09-01" for g in range(8)], dtype="datetime64[D]")[grade]),
    )
    return rows.filter(pl.Series((u["goes"] < chance) & (place >= 0)))


def dwelling(people: pl.DataFrame, seed: int, day: date, epoch: date) -> pl.DataFrame:
    """Housing: one row a member of a household with a registered housing case."""
    home = people["living_home"].to_numpy()
    u = {k: uniform(seed, k, int(home.max()) + 1)[home] for k in ("form", "grade", "area", "start", "rent")}
    is_repair = (u["form"] > 0.45) & (u["form"] < 0.75)
    form = np.where(u["form"] < 0.45, np.where(u["form"] < 0.2, "1", "2"), np.where(is_repair, "3", "4"))
    is_rental = np.isin(form, ["1", "2"])
    return people.with_columns(
        housing_form=pl.Series(form),
        case_no=pl.format("AJ{}", pl.col("living_home") * 5 + 100_001),
        is_applicant=pl.when(pl.col("living_relation") == "02").then(pl.lit("1")).otherwise(pl.lit("0")),
        house_grade=pl.Series(np.where(form == "3", "C", np.where(form == "4", "D", np.where(u["grade"] < 0.7, "A", "B")))),
        floor_area_m2=_yuan(30 + u["area"] * 110),
        family_size=(pl.col("birth_date") < epoch).sum().over("living_home").cast(pl.String),
        contract_start_date=_days(epoch, 30 + u["start"] * 900),
        contract_end_date=pl.when(pl.Series(is_rental)).then(_days(epoch, 30 + u["start"] * 900 - 1095)),
        monthly_rent_yuan=_yuan(np.where(is_rental, 80 + u["rent"] * 600, 0)),
        subsidy_yuan=_yuan(np.where(form == "2", 1200 + u["rent"] * 3000, np.where(is_rental, 0, 14000 + u["rent"] * 20000))),
        change_flag=pl.when(pl.col("death_date").is_not_null()).then(pl.lit("D"))
        .when(pl.col("changed_night") > 1).then(pl.lit("U")).otherwise(pl.lit("I")),
    )  # fmt: skip


def enrolment(people: pl.DataFrame, seed: int, day: date, epoch: date) -> pl.DataFrame:
    """Medical insurance: one row a person and insurance type, about one and a half a person."""
    n, age = people.height, _age(people, epoch)
    u = {k: uniform(seed, k, n) for k in ("employed", "extra", "fee", "identity", "start")}
    is_employee = (u["employed"] < 0.3) & (age > 20) & (age < 70)
    identity = np.where(u["identity"] < 0.08, np.char.zfill((1 + u["identity"] * 74).astype(int).astype("U2"), 2), "00")
    fee = np.round(np.exp(u["fee"] * 6) * 30 * (1 + age / 60), 2)
    fund, assistance = np.round(fee * 0.6, 2), np.round(np.where(identity != "00", fee * 0.15, 0), 2)
    dead = people["death_date"].is_not_null()
    rows = people.with_columns(
        insurance_type=pl.Series(np.where(is_employee, "310", "390")),
        enrolment_status=pl.when(dead).then(pl.lit("3")).otherwise(pl.lit("1")),
        enrolled_date=_days(epoch, 60 + u["start"] * 3000),
        ended_date=pl.col("death_date"),
        paid_year=pl.lit(str(epoch.year)),
        identity_type=pl.Series(identity),
        subsidy_yuan=_yuan(np.where(identity != "00", 200.0, 0.0)),
        medfee_sum_yuan=_yuan(fee),
        fund_pay_yuan=_yuan(fund),
        assistance_pay_yuan=_yuan(assistance),
        self_pay_yuan=_yuan(fee - fund - assistance),
        row=pl.lit(0),
    )
    second = rows.filter(pl.Series(u["extra"] < 0.5)).with_columns(
        insurance_type=pl.when(pl.col("insurance_type") == "310").then(pl.lit("330")).otherwise(pl.lit("392")), row=pl.lit(1)
    )
    return pl.concat([rows, second])


def certificate(people: pl.DataFrame, seed: int, day: date, epoch: date) -> pl.DataFrame:
    """Disability: one row a certificate, about one person in fifteen."""
    n, age = people.height, _age(people, epoch)
    u = {k: uniform(seed, k, n) for k in ("disabled", "category", "grade", "issued", "rehab", "cause")}
    category = np.array(list("12344444567"))[(u["category"] * 11).astype(int)]
    grade = (1 + np.sqrt(u["grade"]) * 3.999).astype(int).astype("U1")
    is_heavy = np.isin(grade, ["1", "2"])
    has_guardian = np.isin(category, ["5", "6"])
    # Nobody has a certificate before birth; those born since the first night have none yet.
    issued = people.select(
        pl.max_horizontal(_days(epoch, 30 + u["issued"] * 3000).cast(pl.Date), pl.col("birth_date").cast(pl.Date)).alias("d")
    )["d"]
    with_guardian = _guarded(people).with_columns(
        pl.when(pl.Series(has_guardian)).then(pl.col(c)).alias(c)
        for c in ("guardian_name", "guardian_resident_id", "guardian_phone", "guardian_relation")
    )
    rows = with_guardian.with_columns(
        category=pl.Series(category),
        grade=pl.Series(grade),
        certificate_no=pl.col("resident_id") + pl.Series(np.char.add(category, grade)),
        issued_date=issued,
        expires_date=issued.dt.offset_by("3652d"),
        certificate_status=pl.when(pl.col("death_date").is_not_null()).then(pl.lit("2")).otherwise(pl.lit("1")),
        rehab_need=pl.Series(np.where(u["rehab"] < 0.4, "是", "否")),
        living_allowance=_yuan(np.where(u["rehab"] < 0.3, 80.0, 0.0)),
        care_allowance=_yuan(np.where(is_heavy, 100.0, 0.0)),
        cause=pl.Series((1 + u["cause"] * 4).astype(int).astype("U1")),
    )
    return rows.filter(pl.Series((u["disabled"] < np.where(age > 60, 0.14, 0.04)) & (age > 0)))


SUBJECTS: dict[str, Callable[[pl.DataFrame, int, date, date], pl.DataFrame]] = {
    "person_file": person_file,
    "schooling": schooling,
    "dwelling": dwelling,
    "enrolment": enrolment,
    "certificate": certificate,
}


def rows(subject: str, people: pl.DataFrame, seed: int, day: date, epoch: date) -> pl.DataFrame:
    """The rows agencies could hold on a subject.

    Raises:
        ContractError: the county knows no such subject.
    """
    try:
        return SUBJECTS[subject](people, seed, day, epoch)
    except KeyError:
        raise ContractError(
            f"the county knows no subject {subject!r}",
            where="customProperties.synthetic.subject",
            next_step=f"one of {', '.join(SUBJECTS)}",
        ) from None

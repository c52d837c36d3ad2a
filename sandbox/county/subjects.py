"""What agencies keep about persons: one function a subject, each gives the rows an agency of that kind could hold.

Every attribute is a pure function of seed, person and night. Beside its own columns a row says since which night there is something
to hold (``since_night``) and since which night it is over (``ended_night``, :data:`NEVER` while it lasts): agencies learn of a beginning
late, and drop a row some time after its end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from hub.errors import ContractError
from sandbox.county import kinship, places
from sandbox.county.chance import uniform, whole
from sandbox.county.population import NOBODY, kin_of

NEVER = 1_000_000
LONG_AGO = -1_000_000
_DAY = "datetime64[D]"
# Yuan a year and head below which a household is on low-income assistance, or at its edge; the project's own.
_LOW, _EDGE = 6000, 9500
_CLERKS_PERSONS = 512
_CHILD_DISEASES, _MALE_DISEASES, _FEMALE_DISEASES = (
    np.array(codes.split())
    for codes in (
        "01 02 15 16 17 18 19 20",
        "03 04 05 06 07 08 09 12 13 14 22 23 24 26 28 30",
        "03 04 05 06 07 08 09 10 11 12 13 23 24 27 28 30",
    )
)


@dataclass(frozen=True)
class County:
    """The county on one night, as subjects look at it.

    Attributes:
        people: everybody who ever was, by number.
        night: number of the night.
        epoch: business date of the first night; what depends on age depends on the age then.
    """

    people: pl.DataFrame
    seed: int
    night: int
    epoch: date

    def column(self, name: str) -> np.ndarray:
        """A column of everybody."""
        return np.asarray(self.people[name].to_numpy())

    def chance(self, label: str, about: np.ndarray) -> np.ndarray:
        """A number from 0 to 1 for each of `about`."""
        return uniform(self.seed, label, about)

    def some_night(self, label: str, about: np.ndarray, share: float, first: int, nights: int, otherwise: int) -> np.ndarray:
        """A night for a share of those, spread over some nights; `otherwise` for the rest."""
        hit = uniform(self.seed, f"{label}|hit", about) < share
        return np.asarray(np.where(hit, first + whole(self.seed, f"{label}|night", about, nights), otherwise))

    def nights(self, dates: np.ndarray) -> np.ndarray:
        """The nights of dates; NEVER for none."""
        days = dates.astype(_DAY)
        return np.asarray(np.where(np.isnat(days), NEVER, (days - np.datetime64(self.epoch)).astype(int) + 1))

    def dates(self, nights: np.ndarray) -> pl.Series:
        """The dates of nights; null for NEVER."""
        days = np.datetime64(self.epoch) + (nights - 1).astype("timedelta64[D]")
        return pl.Series(np.where(nights >= NEVER, np.datetime64("NaT"), days).astype(_DAY))

    @cached_property
    def age(self) -> np.ndarray:
        """Years on the first night; below 0 for children born later."""
        return np.asarray((np.datetime64(self.epoch) - self.column("birth_date").astype(_DAY)).astype(int) / 365.25)

    @cached_property
    def gone(self) -> np.ndarray:
        """The night each person died or left."""
        return np.asarray(np.minimum(self.nights(self.column("death_date")), self.nights(self.column("left_date"))))

    @cached_property
    def is_here(self) -> np.ndarray:
        """Whether each person is alive and of the county."""
        return np.asarray(self.gone > self.night)

    @cached_property
    def is_registered(self) -> np.ndarray:
        """Whether each person's birth is registered."""
        return np.asarray(self.column("registered_night") <= self.night)

    @cached_property
    def per_head_yuan(self) -> np.ndarray:
        """Income a year and head of each person's living household."""
        home = self.column("living_home")
        size = np.bincount(home, self.is_here)
        return np.asarray((np.bincount(home, self.column("income_yuan") * self.is_here) / np.maximum(size, 1))[home])

    @cached_property
    def assistance(self) -> np.ndarray:
        """What each person's household is recognised as: ``low``, ``edge`` or empty; not everybody who could be is."""
        known = self.chance("assistance", self.column("living_home"))
        low, edge = self.per_head_yuan < _LOW, self.per_head_yuan < _EDGE
        return np.select([low & (known < 0.6), edge & (known < 0.35)], ["low", "edge"], "")

    @cached_property
    def _kin(self) -> kinship.Kin:
        return kin_of(self.people)

    @cached_property
    def _settled(self) -> int:
        """Persons of the first night."""
        return int((self.column("born_night") == 0).sum())

    @cached_property
    def _dwelling_head(self) -> np.ndarray:
        home = self.column("dwelling_home")
        return np.asarray(kinship.heads(home, ~self.is_here, self.age < 18)[home])

    def head_phone(self, who: np.ndarray) -> np.ndarray:
        """The telephone of the head of the home each sleeps in."""
        return np.asarray(self.column("phone")[self._dwelling_head[who]])

    def described(self, who: np.ndarray, **more: pl.Series | pl.Expr) -> pl.DataFrame:
        """Some persons in words, with whose number theirs is mistaken for."""
        parent = np.where(self.column("mother")[who] >= 0, self.column("mother")[who], self.column("father")[who])
        spouse = self.column("spouse")[who]
        relative = np.where(spouse >= 0, spouse, self._dwelling_head[who])
        number, surname = self.people["resident_id"], self.people["surname"]
        # Half of the strangers are village clerks, who enter one number for many.
        clerk = np.minimum(who // _CLERKS_PERSONS * _CLERKS_PERSONS, self._settled - 1)
        somebody = np.where(whole(self.seed, "clerk", who, 2) == 0, clerk, whole(self.seed, "somebody", who, self._settled))
        frame = self.people[who].with_columns(
            registered_area_code=places.area_codes("registered_place"),
            area_code=places.area_codes("place"),
            address=places.addresses("place"),
            registered_address=places.addresses("registered_place"),
            former_address=places.addresses("former_place"),
            phone=pl.col("phone").cast(pl.String),
            former_phone=pl.col("former_phone").cast(pl.String),
            head_phone=pl.Series(self.head_phone(who)).cast(pl.String),
            parent_number=_gathered(number, parent),
            relative_number=_gathered(number, relative),
            strangers_number=_gathered(number, somebody),
            spouse_surname=_gathered(surname, spouse),
            is_child=pl.Series(self.age[who] < 14),
            is_registered=pl.Series(self.is_registered[who]),
            registered_relation=pl.when(pl.Series(self.is_registered[who])).then("registered_relation"),
            since_night=pl.Series(np.where(self.column("born_night")[who] > 0, self.column("born_night")[who], LONG_AGO)),
            ended_night=pl.Series(self.gone[who]),
            per_head_yuan=_yuan(self.per_head_yuan[who]),
            file_home="living_home",
        )
        return frame.with_columns(**more)

    def guardians(self, who: np.ndarray) -> dict[str, pl.Series]:
        """Name, number, telephone and relation of a guardian of each; null where nobody is named.

        For minors and students a parent, wherever the parent is, or whoever they sleep at; else spouse, parent or head of the home.
        """
        father, mother, spouse = (self.column(c)[who] for c in ("father", "mother", "spouse"))
        here = np.append(self.is_here, False)
        head = self._dwelling_head[who]
        by_father = self.chance("guardian", who) < 0.55
        first, second = np.where(by_father, father, mother), np.where(by_father, mother, father)
        guardian = np.where(here[first], first, np.where(here[second], second, head))
        left_behind = (self.column("dwelling_home")[who] != self.column("living_home")[who]) & (self.chance("entrusted", who) < 0.5)
        guardian = np.where(left_behind, head, guardian)
        guardian = np.where((self.age[who] >= 23) & here[spouse], spouse, guardian)
        guardian = np.where(guardian == who, NOBODY, guardian)
        relation = kinship.relations(self._kin, guardian, who)
        return {
            "guardian_name": _gathered(self.people["name"], guardian),
            "guardian_resident_id": _gathered(self.people["resident_id"], guardian),
            "guardian_phone": _gathered(self.people["phone"].cast(pl.String), guardian),
            "guardian_relation": pl.Series(relation, dtype=pl.String).replace({"": None}),
        }


def _gathered(column: pl.Series, who: np.ndarray) -> pl.Series:
    """Values of some persons; null for nobody."""
    return column.gather(pl.Series(np.where(who >= 0, who, 0))).set(pl.Series(who < 0), None)


def _yuan(amount: np.ndarray) -> pl.Series:
    return pl.Series(np.asarray(amount, dtype=np.float64)).round(2).cast(pl.Decimal(14, 2)).cast(pl.String)


def _cycle(county: County, label: str, who: np.ndarray, least: int, spread: int, until: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Something that comes again every so many nights: how often it came, and the last night it did, both up to some night."""
    period = least + whole(county.seed, f"{label}|period", who, spread)
    phase = whole(county.seed, f"{label}|phase", who, 1_000_003) % period
    count = (np.minimum(until, county.night) + phase) // period
    return count, count * period - phase


def person_file(county: County, who: np.ndarray) -> pl.DataFrame:
    """Health: one row a person; of those who work elsewhere, half have a file here."""
    who = who[~county.column("is_away")[who] | (county.chance("file_while_away", who) < 0.5)]
    age, male = np.maximum(county.age[who], 0), county.column("sex")[who] == "1"
    u = {k: county.chance(k, who) for k in ("illness", "disease", "cost", "team", "care", "risk")}
    major = 0.004 + 0.05 * np.clip((age - 35) / 50, 0, 1)
    chronic = 0.02 + 0.5 * np.clip((age - 30) / 50, 0, 1)
    illness = np.select([u["illness"] < 0.005, u["illness"] < 0.005 + major, u["illness"] < 0.005 + major + chronic], ["3", "2", "1"], "0")
    onset = county.some_night("onset", who, 0.15, 2, 400, LONG_AGO)
    illness = np.where(onset > county.night, "0", illness)
    is_ill, is_mental = np.isin(illness, ["2", "3"]), illness == "3"
    lists = [_CHILD_DISEASES, _MALE_DISEASES, _FEMALE_DISEASES]
    disease = np.select(
        [age < 14, male], [c[(u["disease"] * c.size).astype(int)] for c in lists[:2]], lists[2][(u["disease"] * lists[2].size).astype(int)]
    )
    count, visited = _cycle(county, "visit", who, 130, 140, county.gone[who])
    signed = -10 - (u["team"] * 700).astype(int)
    cost = np.where(is_ill, 20000, 800) * np.exp(u["cost"] * 2 - 1) * (1 + 0.05 * count)
    return county.described(
        who,
        illness_class=pl.Series(illness),
        disease_code=pl.Series(np.where(is_mental, "29", np.where(is_ill, disease, ""))),
        diagnosed_date=county.dates(np.where(is_ill, np.where(onset > 0, onset, -30 - (u["disease"] * 3000).astype(int)), NEVER)),
        self_care_level=pl.Series(np.where(is_ill | (age > 75), (1 + u["care"] * 3).astype(int).astype("U1"), "1")),
        mental_risk_level=pl.Series(np.where(is_mental, (u["risk"] * 5).astype(int).astype("U1"), "")),
        team_name=pl.format("家庭医生团队{}组", pl.Series((1 + u["team"] * 60).astype(int))),
        contract_start_date=county.dates(signed),
        contract_end_date=county.dates(signed + 365 * 3),
        last_visit_date=county.dates(visited),
        medical_cost_yuan=_yuan(cost),
    )


def schooling(county: County, who: np.ndarray) -> pl.DataFrame:
    """Education: one row a student, from kindergarten to university. Nobody changes school by growing older, some come and go."""
    bounds = np.array([3, 6, 12, 15, 18, 22])
    level = np.searchsorted(bounds, county.age[who], side="right") - 1
    chance = np.array([0.8, 0.995, 0.99, 0.9, 0.55, 0.0, 0.0])[level]
    goes = (level >= 0) & (county.chance("goes", who) < chance) & county.is_registered[who]
    who, level = who[goes], level[goes]
    age = county.age[who]
    stage = np.array(["11", "21", "31", "34", "41", "41", "11"])[level]
    village = places.village(county.column("place")[who])
    school = np.where(county.column("is_away")[who], 900 + who % 7, village // np.array([4, 2, 10, 40, 80, 80, 4])[level])
    grade = np.clip((age - bounds[np.clip(level, 0, 5)]).astype(int) + 1, 1, 6)
    u = {k: county.chance(k, who) for k in ("hardship", "aid", "board", "status")}
    orphan = (county.column("father")[who] < 0) & (county.column("mother")[who] < 0)
    helped = county.assistance[who]
    hardship = np.select([orphan & (age < 18), helped == "low", helped == "edge", u["hardship"] < 0.015], ["09", "05", "06", "01"], "00")
    is_aided = hardship != "00"
    aid = np.where(is_aided, np.where(level == 0, "01", np.where(level < 3, "02", np.where(u["aid"] < 0.6, "04", "05"))), "00")
    left = county.some_night("leaves_school", who, 0.15, -25, 600, NEVER)
    status = np.where(left <= county.night, np.where(u["status"] < 0.5, "3", "4"), np.where(u["status"] < 0.985, "1", "2"))
    return county.described(
        who,
        **county.guardians(who),
        stage=pl.Series(stage),
        school_code=pl.format("{}42{}", pl.Series(stage), pl.Series(school).cast(pl.String).str.zfill(6)),
        school_name=pl.format("公安县第{}学校", pl.Series(school + 1)),
        grade=pl.Series(grade.astype("U1")),
        roll_no=pl.when(pl.col("issued_id").str.len_chars() == 18).then(pl.lit("G") + pl.col("issued_id")),
        roll_status=pl.Series(status),
        hardship_class=pl.Series(hardship),
        boarding=pl.Series(np.where(((u["board"] < 0.3) & (age > 10)) | (level >= 4), "是", "否")),
        aid_type=pl.Series(aid),
        aid_yuan=_yuan(np.where(is_aided, np.round(500 + u["aid"] * 3000), 0)),
        enrolled_date=pl.Series(np.array([f"{county.epoch.year - g}-09-01" for g in range(8)], dtype=_DAY)[grade]),
    ).with_columns(
        since_night=pl.Series(county.some_night("enters_school", who, 0.06, 2, 500, LONG_AGO)),
        ended_night=pl.min_horizontal("ended_night", pl.Series(left)),
    )


def dwelling(county: County, who: np.ndarray) -> pl.DataFrame:
    """Housing: one row a member of a household with a housing case; the case is of the home as it was when it was opened."""
    is_member = county.is_here & (county.column("living_home") == county.column("origin_home"))
    members = np.bincount(county.column("origin_home"), is_member)
    case, home = county.column("origin_home")[who], county.column("living_home")[who]
    u = {k: county.chance(k, case) for k in ("form", "grade", "area", "start", "rent")}
    is_repair = (u["form"] > 0.45) & (u["form"] < 0.75)
    form = np.where(u["form"] < 0.45, np.where(u["form"] < 0.2, "1", "2"), np.where(is_repair, "3", "4"))
    is_rental = np.isin(form, ["1", "2"])
    begun = -30 - (u["start"] * 900).astype(int)
    opened = county.some_night("case_opens", case, 0.05, 2, 400, LONG_AGO)
    begun = np.where(opened > 0, opened, begun)
    closed = county.some_night("case_closes", case, 0.1, -20, 500, NEVER)
    moved = np.where(home != case, county.column("moved_night")[who], NEVER)
    rows = county.described(
        who,
        file_home=pl.Series(case),
        housing_form=pl.Series(form),
        case_no=pl.format("AJ{}", pl.Series(case * 5 + 100_001)),
        is_applicant=pl.when(pl.col("living_relation") == kinship.HEAD).then(pl.lit("1")).otherwise(pl.lit("0")),
        house_grade=pl.Series(np.where(form == "3", "C", np.where(form == "4", "D", np.where(u["grade"] < 0.7, "A", "B")))),
        floor_area_m2=_yuan(30 + u["area"] * 110),
        family_size=pl.Series(np.maximum(members[case], 1).astype(int)).cast(pl.String),
        contract_start_date=county.dates(begun),
        contract_end_date=county.dates(np.where(is_rental, begun + 1095, NEVER)),
        monthly_rent_yuan=_yuan(np.where(is_rental, 80 + u["rent"] * 600, 0)),
        subsidy_yuan=_yuan(np.where(form == "2", 1200 + u["rent"] * 3000, np.where(is_rental, 0, 14000 + u["rent"] * 20000))),
    )
    return rows.with_columns(
        since_night=pl.max_horizontal("since_night", pl.Series(opened)),
        ended_night=pl.min_horizontal("ended_night", pl.Series(np.minimum(closed, moved))),
    )


def enrolment(county: County, who: np.ndarray) -> pl.DataFrame:
    """Medical insurance: one row a person and insurance type, about one and a half a person; nobody before the birth is registered."""
    who = who[county.is_registered[who]]
    age = np.maximum(county.age[who], 0)
    u = {k: county.chance(k, who) for k in ("employed", "extra", "fee", "identity", "start", "support")}
    is_employee = (u["employed"] < 0.3) & (age > 20) & (age < 70) & (county.column("income_yuan")[who] > 20_000)
    helped = county.assistance[who]
    alone = (age > 60) & (county.column("spouse")[who] < 0) & (county.column("marital_status")[who] == "10") & (helped != "")
    identity = np.select([alone, helped == "low", helped == "edge", u["identity"] < 0.02], ["01", "02", "03", "06"], "00")
    count, _ = _cycle(county, "claim", who, 200, 200, county.gone[who])
    fee = np.round(np.exp(u["fee"] * 6) * 30 * (1 + age / 60) * (1 + 0.2 * count), 2)
    fund, assistance = np.round(fee * 0.6, 2), np.round(np.where(identity != "00", fee * 0.15, 0), 2)
    stopped = county.some_night("insurance_stops", who, 0.06, -40, 500, NEVER)
    rows = county.described(
        who,
        insurance_type=pl.Series(np.where(is_employee, "310", "390")),
        enrolled_date=county.dates(
            np.where(county.age[who] < 8, -(county.age[who] * 365).astype(int) + 30, -60 - (u["start"] * 2800).astype(int))
        ),
        paid_year=pl.lit(str(county.epoch.year)),
        identity_type=pl.Series(identity),
        subsidy_yuan=_yuan(np.where(identity != "00", 200.0, 0.0)),
        medfee_sum_yuan=_yuan(fee),
        fund_pay_yuan=_yuan(fund),
        assistance_pay_yuan=_yuan(assistance),
        self_pay_yuan=_yuan(fee - fund - assistance),
        row=pl.lit(0),
        since_night=pl.Series(np.where(county.column("registered_night")[who] > 0, county.column("registered_night")[who], LONG_AGO)),
    )
    rows = rows.with_columns(ended_night=pl.min_horizontal("ended_night", pl.Series(stopped)))
    ended = rows["ended_night"].to_numpy()
    is_over = ended <= county.night
    rows = rows.with_columns(
        enrolment_status=pl.Series(np.where(is_over, "3", "1")),
        enrolled_date=pl.min_horizontal("enrolled_date", county.dates(np.where(is_over, ended, county.night))),
        ended_date=county.dates(np.where(is_over, ended, NEVER)),
    )
    second = rows.filter(pl.Series(u["extra"] < 0.5)).with_columns(
        insurance_type=pl.when(pl.col("insurance_type") == "310").then(pl.lit("330")).otherwise(pl.lit("392")), row=pl.lit(1)
    )
    return pl.concat([rows, second])


def certificate(county: County, who: np.ndarray) -> pl.DataFrame:
    """Disability: one row a certificate, about one person in fifteen."""
    chance = np.where(county.age[who] > 60, 0.14, 0.04)
    who = who[(county.chance("disabled", who) < chance) & (county.age[who] > 0) & county.is_registered[who]]
    u = {k: county.chance(k, who) for k in ("category", "grade", "issued", "rehab", "cause")}
    category = np.array(list("12344444567"))[(u["category"] * 11).astype(int)]
    grade = (1 + np.sqrt(u["grade"]) * 3.999).astype(int).astype("U1")
    needs_guardian = np.isin(category, ["5", "6"]) | (county.age[who] < 18)
    issued = county.some_night("certified", who, 0.2, 2, 400, LONG_AGO)
    since = np.where(issued > 0, issued, -30 - (u["issued"] * 3000).astype(int))
    since = np.maximum(since, county.nights(county.column("birth_date")[who]))  # nobody has a certificate before birth
    cancelled = county.some_night("cancelled", who, 0.06, -20, 400, NEVER)
    guardians = {name: column.set(pl.Series(~needs_guardian), None) for name, column in county.guardians(who).items()}
    helped = county.assistance[who]
    rows = county.described(
        who,
        **guardians,
        category=pl.Series(category),
        grade=pl.Series(grade),
        certificate_no=pl.when(pl.col("issued_id").str.len_chars() == 18).then(
            pl.col("issued_id") + pl.Series(np.strings.add(category, grade))
        ),
        issued_date=county.dates(since),
        expires_date=county.dates(since + 3652),
        rehab_need=pl.Series(np.where(u["rehab"] < 0.4, "是", "否")),
        living_allowance=_yuan(np.where(helped == "low", 80.0, 0.0)),
        care_allowance=_yuan(np.where(np.isin(grade, ["1", "2"]), 100.0, 0.0)),
        cause=pl.Series((1 + u["cause"] * 4).astype(int).astype("U1")),
    )
    rows = rows.with_columns(
        since_night=pl.max_horizontal("since_night", pl.Series(issued)), ended_night=pl.min_horizontal("ended_night", pl.Series(cancelled))
    )
    over = pl.col("ended_night") <= county.night
    return rows.with_columns(certificate_status=pl.when(over).then(pl.lit("2")).otherwise(pl.lit("1")))


SUBJECTS: dict[str, Callable[[County, np.ndarray], pl.DataFrame]] = {
    "person_file": person_file,
    "schooling": schooling,
    "dwelling": dwelling,
    "enrolment": enrolment,
    "certificate": certificate,
}


def rows(subject: str, county: County, who: np.ndarray) -> pl.DataFrame:
    """The rows agencies could hold on a subject and some persons.

    Raises:
        ContractError: the county knows no such subject.
    """
    try:
        return SUBJECTS[subject](county, who)
    except KeyError:
        raise ContractError(
            f"the county knows no subject {subject!r}",
            where="customProperties.synthetic.subject",
            next_step=f"one of {', '.join(SUBJECTS)}",
        ) from None

"""The people of the county on its first night: families by form, then persons in their roles."""

from datetime import date

import numpy as np
import polars as pl

from sandbox.county import families, kinship, names, places, resident_ids

NOBODY = -1
_DAY = "datetime64[D]"
_DOTTED_SHARE, _CLAN_SHARE, _FOREIGN_SHARE = 0.015, 0.35, 0.004
# Shares of persons who died, and of homes that left, in the sixty days before the first night: agencies still know them.
_DEAD_LATELY, _LEFT_LATELY, _LATELY_DAYS = 0.0015, 0.002, 60


def _members(rng: np.random.Generator, kind: np.ndarray, n_persons: int) -> dict[str, np.ndarray]:
    """One entry a person of the families whose forms are `kind`: ages in days, links, homes; cut after so many persons."""
    forms = families.forms()
    sizes = np.array([len(f.members) for f in forms])[kind]
    first = np.concatenate([[0], np.cumsum(sizes)])
    total = int(first[-1])
    whole = {c: np.full(total, NOBODY) for c in ("family", "father", "mother", "spouse", "twin", "home", "dwells", "register", "line")}
    age, is_male = np.zeros(total), np.zeros(total, dtype=bool)
    there, is_away = np.zeros(total, dtype=bool), np.zeros(total, dtype=bool)
    marital = np.full(total, "10", dtype="U2")
    for which, form in enumerate(forms):
        fams = np.flatnonzero(kind == which)
        n, base = fams.size, first[fams]
        for place, member in enumerate(form.members):
            at = base + place
            if member.twin_of:
                years = age[base + form.place_of(member.twin_of)]
            elif member.than:
                years = age[base + form.place_of(member.than)] + rng.uniform(*member.years, n)
            else:
                youngest, oldest = member.age or (0, 90)
                years = rng.uniform(youngest, oldest, n)
            age[at], is_male[at], marital[at] = np.minimum(years, 99), rng.random(n) < member.sex, member.marital
            there[at] = (years > 0.05) & (rng.random(n) < member.chance)
            is_away[at] = (member.home in form.homes_away and member.dwells is None) | (rng.random(n) < member.away)
            whole["family"][at], whole["home"][at] = fams, member.home
            whole["dwells"][at] = member.home if member.dwells is None else member.dwells
            whole["register"][at] = np.where(rng.random(n) < member.shares_register, 0, member.register_)
            whole["line"][at] = ("family", "own", "other").index(member.line)
            for link in ("father", "mother", "spouse"):
                role = getattr(member, link)
                whole[link][at] = base + form.place_of(role) if role else NOBODY
            whole["twin"][at] = base + form.place_of(member.twin_of) if member.twin_of else NOBODY
    there &= np.cumsum(there) <= n_persons
    number = np.append(np.where(there, np.cumsum(there) - 1, NOBODY), NOBODY)
    for link in ("father", "mother", "spouse", "twin"):
        whole[link] = number[whole[link]]
    found = {**whole, "days": (age * 365.25).astype(int), "is_male": is_male, "is_away": is_away, "marital": marital}
    return {name: values[there] for name, values in found.items()}


def _numbered(family: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Numbers of homes, from 0: one for each family and position in it."""
    return np.asarray(np.unique(family * 8 + within, return_inverse=True)[1])


def _names(rng: np.random.Generator, m: dict[str, np.ndarray], village: np.ndarray, born: np.ndarray) -> dict[str, np.ndarray]:
    """Names, family names, ethnic groups and who is a foreigner."""
    n, n_families = m["family"].size, int(m["family"].max()) + 1
    clan = names.surnames(rng, places.TOWNS * places.VILLAGES)
    clan_of = np.zeros(n_families, dtype=int)
    clan_of[m["family"]] = village
    of_family = np.where(rng.random(n_families) < _CLAN_SHARE, clan[clan_of], names.surnames(rng, n_families))[m["family"]]
    other = names.surnames(rng, n_families)[m["family"]]
    surname = np.select([m["line"] == 0, m["line"] == 2], [of_family, other], names.surnames(rng, n))
    given = names.given(rng, m["is_male"], born)
    twin = np.flatnonzero(m["twin"] >= 0)
    # Twins are named alike: the same first character, another second one.
    given[twin] = np.strings.add(np.strings.slice(given[m["twin"][twin]], 0, 1), np.strings.slice(given[twin], -1, None))
    same = given[twin] == given[m["twin"][twin]]
    given[twin] = np.where(same, np.strings.add(np.strings.slice(given[twin], 0, 1), "双"), given[twin])
    name = np.strings.add(surname, given).astype("U40")
    is_dotted = (rng.random(n_families) < _DOTTED_SHARE)[m["family"]]
    # Fathers before children, so that a child's second name is its father's first: three generations need three rounds.
    rows, father_name = np.flatnonzero(is_dotted), np.full(n, "", dtype="U40")
    done = np.zeros(n + 1, dtype=bool)
    done[-1] = True
    while (todo := rows[~done[rows] & done[m["father"][rows]]]).size:
        father_name[todo] = np.where(m["father"][todo] >= 0, name[m["father"][todo]], "")
        name[todo] = names.minority(rng, m["is_male"][todo], father_name[todo])
        surname[todo] = ""
        done[todo] = True
    is_foreign = (rng.random(n) < _FOREIGN_SHARE) & (m["line"] == 1) & (m["spouse"] >= 0) & ~is_dotted & (born > 1970)
    name[is_foreign] = names.foreign(rng, int(is_foreign.sum()))
    surname[is_foreign] = np.strings.slice(name[is_foreign], 0, 1)
    plain = np.array(["04" if "·" not in x else "05" for x in name[rows].tolist()])
    ethnicity = np.where((rng.random(n_families) < 0.05)[m["family"]], "15", "01")
    ethnicity[rows] = plain
    ethnicity[is_foreign] = "98"
    return {"name": name, "surname": surname, "ethnicity": ethnicity, "is_foreign": is_foreign}


def _incomes(rng: np.random.Generator, age: np.ndarray, is_away: np.ndarray, home: np.ndarray) -> np.ndarray:
    """Yuan a year of each person; a home's luck is shared."""
    luck = np.exp(rng.normal(0, 0.35, int(home.max()) + 1))[home]
    wage = np.exp(rng.normal(10.1, 0.55, age.size)) * luck * np.where(is_away, 1.7, 1.0)
    works = rng.random(age.size) < np.where(age < 60, 0.82, 0.35)
    pension = 1500 + 6000 * rng.random(age.size) ** 3
    income = np.where(age < 18, 0, np.where(works, wage * np.where(age < 60, 1, 0.4), 0) + np.where(age >= 60, pension, 0))
    return np.asarray(np.round(income, -1).astype(np.int32))


def settle(seed: int, n_persons: int, epoch: date) -> pl.DataFrame:
    """Everybody on the day before the first night, those included who died or left lately.

    Returns:
        One row a person; the columns are the county's vocabulary. ``person`` numbers them from 0 and is the truth; links are
        such numbers, -1 = nobody. ``living_home`` is the household by the ministry's rule (民发〔2021〕57号 art. 7),
        ``dwelling_home`` where the person sleeps, ``registered_home`` the register. Places are numbers (``places``). Telephone 0 = none.
    """
    rng = np.random.default_rng([seed, 1])
    forms = families.forms()
    shares = np.array([f.share for f in forms])
    mean = sum(f.share * sum(x.chance for x in f.members) for f in forms) / shares.sum()
    m = _members(rng, rng.choice(len(forms), int(n_persons / mean * 1.15) + 60, p=shares / shares.sum()), n_persons)
    n = m["family"].size
    family, days, is_male = m["family"], m["days"], m["is_male"]
    birth_day = np.datetime64(epoch) - days.astype("timedelta64[D]")
    twin = np.flatnonzero(m["twin"] >= 0)
    birth_day[twin] = birth_day[m["twin"][twin]]
    age = days / 365.25

    living, dwelling, register = (_numbered(family, m[c]) for c in ("home", "dwells", "register"))
    dwelling = _as_living(family, m, living)
    n_families = int(family.max()) + 1
    family_place = places.anywhere(rng, n_families, n_families)
    moved_apart = rng.random(living.max() + 1) < 0.4
    first_home = np.where(m["home"] == 0, 0, 1)
    other_place = np.where(
        moved_apart,
        places.anywhere(rng, living.max() + 1, n_families),
        places.nearby(rng, family_place[family][_first_of(living)], n_families),
    )
    dwells_first = m["dwells"] == 0
    place = np.where(dwells_first, family_place[family], other_place[living])
    far = places.away(rng, living.max() + 1)
    place = np.where(m["is_away"] & (first_home == 1), far[living], np.where(m["is_away"], places.away(rng, n), place))
    registered_place = np.where(m["register"] == 0, family_place[family], other_place[living])
    old_house = rng.random(register.max() + 1) < 0.12
    registered_place = np.where(
        old_house[register], places.nearby(rng, family_place[_first_family(register, family)], n_families)[register], registered_place
    )
    former_place = np.where(rng.random(n) < 0.7, registered_place, places.nearby(rng, family_place[family], n_families))

    born = birth_day.astype("datetime64[Y]").astype(int) + 1970
    named = _names(rng, m, places.village(family_place[family]), born)
    area = resident_ids.AREAS[rng.choice(resident_ids.AREAS.size, n, p=resident_ids.AREA_SHARES)]
    area = np.where((m["line"] == 1) | (rng.random(n) < 0.03), area, "421022")
    area[twin] = area[m["twin"][twin]]
    digits = resident_ids.digits_of_date(birth_day)
    number = resident_ids.numbers(area, digits, resident_ids.sequences(area, digits, is_male))
    permit = resident_ids.permits(np.where(rng.random(n) < 0.7, "VNM", "MMR"), digits, np.arange(n))
    number = np.where(named["is_foreign"], permit, number)

    phone = rng.integers(13 * 10**9, 20 * 10**9 - 1, n)
    head = kinship.heads(dwelling, np.zeros(n, dtype=bool), age < 18)[dwelling]
    phone = np.where((age < 14) | ((age > 70) & (rng.random(n) < 0.5)), phone[head], phone)
    spouse = m["spouse"]
    marital = np.where(spouse >= 0, np.where(rng.random(n) < 0.06, "22", "20"), m["marital"])
    people = pl.DataFrame(
        {
            "person": np.arange(n), "living_home": living, "dwelling_home": dwelling, "registered_home": register, "origin_home": living,
            "father": m["father"], "mother": m["mother"], "spouse": spouse,
            "resident_id": number, "issued_id": number, "name": named["name"], "former_name": named["name"], "surname": named["surname"],
            "sex": np.where(is_male, "1", "2"), "birth_date": birth_day, "ethnicity": named["ethnicity"], "marital_status": marital,
            "phone": phone, "former_phone": rng.integers(13 * 10**9, 20 * 10**9 - 1, n),
            "place": place, "former_place": former_place, "registered_place": registered_place,
            "income_yuan": _incomes(rng, age, m["is_away"], living), "is_away": m["is_away"],
            "death_date": np.full(n, np.datetime64("NaT"), dtype=_DAY), "left_date": np.full(n, np.datetime64("NaT"), dtype=_DAY),
        }
    )  # fmt: skip
    people = people.with_columns(
        # nights: 0 = before the first
        pl.lit(0, dtype=pl.Int32).alias(c)
        for c in ("born_night", "registered_night", "moved_night", "pending_night")
    ).with_columns(pending_home=pl.lit(NOBODY, dtype=pl.Int64), changed_night=pl.lit(1, dtype=pl.Int32))
    return related(_lately_gone(rng, people, age, epoch), epoch)


def _as_living(family: np.ndarray, m: dict[str, np.ndarray], living: np.ndarray) -> np.ndarray:
    """The home each person sleeps in, by the numbers of living homes; another one's where the person dwells with kin."""
    key = family * 8 + m["home"]
    known = np.full(int(key.max()) + 8, NOBODY)
    known[key] = living
    there = known[family * 8 + m["dwells"]]
    return np.where(there >= 0, there, living)


def _first_of(home: np.ndarray) -> np.ndarray:
    """The first person of each home."""
    first = np.zeros(int(home.max()) + 1, dtype=int)
    first[home[::-1]] = np.arange(home.size)[::-1]
    return first


def _first_family(home: np.ndarray, family: np.ndarray) -> np.ndarray:
    return np.asarray(family[_first_of(home)])


def _lately_gone(rng: np.random.Generator, people: pl.DataFrame, age: np.ndarray, epoch: date) -> pl.DataFrame:
    """Some persons died, and some homes left the county, shortly before the first night."""
    n = people.height
    spouse = people["spouse"].to_numpy().copy()
    marital = people["marital_status"].to_numpy().astype("U2")
    death, left = people["death_date"].to_numpy().copy(), people["left_date"].to_numpy().copy()
    when = np.datetime64(epoch) - rng.integers(1, _LATELY_DAYS, n).astype("timedelta64[D]")
    dead = np.flatnonzero(rng.random(n) < _DEAD_LATELY * np.exp((np.clip(age, 20, 95) - 60) / 14))
    death[dead] = when[dead]
    bereaved = spouse[dead]
    bereaved = bereaved[bereaved >= 0]
    marital[bereaved], spouse[bereaved] = "30", NOBODY
    home = people["living_home"].to_numpy()
    of_home = np.full(int(home.max()) + 1, np.datetime64("NaT"), dtype=_DAY)
    gone = rng.random(of_home.size) < _LEFT_LATELY
    of_home[gone] = np.datetime64(epoch) - rng.integers(1, _LATELY_DAYS, int(gone.sum())).astype("timedelta64[D]")
    left = np.where(np.isnat(death), of_home[home], left)
    return people.with_columns(
        spouse=pl.Series(spouse), marital_status=pl.Series(marital), death_date=pl.Series(death), left_date=pl.Series(left)
    )


KINDS = {"living": "living_home", "dwelling": "dwelling_home", "registered": "registered_home"}


def kin_of(people: pl.DataFrame) -> kinship.Kin:
    """The links of people."""
    father, mother, spouse = (people[c].to_numpy() for c in ("father", "mother", "spouse"))
    return kinship.Kin.of(father, mother, spouse, people["sex"].to_numpy() == "1", people["birth_date"].to_numpy().astype(_DAY))


def related(people: pl.DataFrame, day: date, only: dict[str, np.ndarray] | None = None) -> pl.DataFrame:
    """People with their relation to the head of each kind of home, written anew.

    Args:
        people: with or without the relations.
        day: who is a minor is decided on that day.
        only: per kind of home, the persons whose relation is written; the others keep theirs. None = everybody.
    """
    kin = kin_of(people)
    out = (people["death_date"].is_not_null() | people["left_date"].is_not_null()).to_numpy()
    minor = people["birth_date"].to_numpy().astype(_DAY) > np.datetime64(day) - np.timedelta64(18 * 365, "D")
    for kind, column in KINDS.items():
        home = people[column].to_numpy()
        who = np.arange(people.height) if only is None else only[kind]
        head = kinship.heads(home, out, minor)[home[who]]
        relation = pl.Series(kinship.relations(kin, who, head), dtype=pl.String)
        name = f"{kind}_relation"
        if only is None:
            people = people.with_columns(relation.alias(name))
        elif who.size:
            people = people.with_columns(people[name].scatter(who, relation))
    return people

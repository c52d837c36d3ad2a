"""Who is what to whom, from each person's relation to the head of a list, and from the names of guardians.

Relations are told to the head alone; what two members are to each other follows from their two relations. Where that leaves several
possible couples or parents (two sons and one daughter-in-law), ages decide, or nothing is said. Ages that contradict a relation refute it.
"""

from dataclasses import dataclass
from datetime import date
from enum import IntEnum, auto
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import yaml

from identity.features import NO_DAY, Features
from identity.sure import Labels, components
from schemas.codes import load_code_set

_YEAR = 365.25
# Years between parent and child, at least and at most; between spouses, at most; from which age on people marry.
_PARENT_FROM, _PARENT_TO, _SPOUSES_APART, _MARRIED_FROM = 13.0, 62.0, 35.0, 15.0

# Where relations are not told: from which age on somebody is no child, how far spouses, and parents and children, mostly are apart.
_GROWN_FROM, _OF_ONE_AGE, _LIKELY_PARENT_FROM, _LIKELY_PARENT_TO = 22.0, 12.0, 17.0, 42.0


class Role(IntEnum):
    """What a person is to the head of a list."""

    UNKNOWN = 0
    HEAD = auto()
    SPOUSE = auto()
    CHILD = auto()
    SON = auto()
    DAUGHTER = auto()
    SON_IN_LAW = auto()
    DAUGHTER_IN_LAW = auto()
    GRANDCHILD = auto()
    SONS_CHILD = auto()
    DAUGHTERS_CHILD = auto()
    GRANDCHILD_IN_LAW = auto()
    PARENT = auto()
    PARENT_IN_LAW = auto()
    GRANDPARENT = auto()
    SIBLING = auto()
    SIBLING_IN_LAW = auto()
    OTHER = auto()


class Kin(IntEnum):
    """What the first of two is to the second."""

    UNKNOWN = 0
    COUPLE = auto()
    PERHAPS_COUPLE = auto()
    PARENT = auto()
    PERHAPS_PARENT = auto()
    SIBLING = auto()
    OTHER = auto()


_CHILDREN = (Role.CHILD, Role.SON, Role.DAUGHTER)
_GRANDCHILDREN = (Role.GRANDCHILD, Role.SONS_CHILD, Role.DAUGHTERS_CHILD)
_KIN: tuple[tuple[Kin, tuple[Role, ...], tuple[Role, ...]], ...] = (
    (Kin.COUPLE, (Role.HEAD,), (Role.SPOUSE,)),
    (Kin.PERHAPS_COUPLE, (Role.PARENT,), (Role.PARENT,)),
    (Kin.PERHAPS_COUPLE, (Role.PARENT_IN_LAW,), (Role.PARENT_IN_LAW,)),
    (Kin.PERHAPS_COUPLE, (Role.GRANDPARENT,), (Role.GRANDPARENT,)),
    (Kin.PERHAPS_COUPLE, (Role.CHILD, Role.SON), (Role.DAUGHTER_IN_LAW,)),
    (Kin.PERHAPS_COUPLE, (Role.CHILD, Role.DAUGHTER), (Role.SON_IN_LAW,)),
    (Kin.PERHAPS_COUPLE, _GRANDCHILDREN, (Role.GRANDCHILD_IN_LAW,)),
    (Kin.PERHAPS_COUPLE, (Role.SIBLING,), (Role.SIBLING_IN_LAW,)),
    (Kin.PARENT, (Role.HEAD, Role.SPOUSE), _CHILDREN),
    (Kin.PARENT, (Role.PARENT,), (Role.HEAD, Role.SIBLING)),
    (Kin.PARENT, (Role.PARENT_IN_LAW,), (Role.SPOUSE,)),
    (Kin.PERHAPS_PARENT, (Role.CHILD, Role.SON, Role.DAUGHTER_IN_LAW), (Role.GRANDCHILD, Role.SONS_CHILD)),
    (Kin.PERHAPS_PARENT, (Role.CHILD, Role.DAUGHTER, Role.SON_IN_LAW), (Role.GRANDCHILD, Role.DAUGHTERS_CHILD)),
    (Kin.PERHAPS_PARENT, (Role.GRANDPARENT,), (Role.PARENT,)),
    (Kin.SIBLING, _CHILDREN, _CHILDREN),
    (Kin.SIBLING, (Role.HEAD,), (Role.SIBLING,)),
)  # fmt: skip


@cache
def _table() -> npt.NDArray[np.int8]:
    """What the first is to the second, by their roles; the other way round only where it is the same."""
    table = np.zeros((len(Role), len(Role)), np.int8)
    known = range(1, len(Role))
    for a, b in product(known, known):
        table[a, b] = Kin.OTHER
    table[Role.HEAD, Role.HEAD] = Kin.UNKNOWN
    for kin, one, other in _KIN:
        for a, b in product(one, other):
            table[a, b] = kin
            if kin not in (Kin.PARENT, Kin.PERHAPS_PARENT):
                table[b, a] = kin
    return table


@cache
def _words() -> tuple[dict[str, Role], dict[str, Role]]:
    """Roles by code or word, and by codes of one digit."""
    told = yaml.safe_load(Path(__file__).parent.joinpath("data", "relations.yml").read_text(encoding="utf-8"))
    by_code = {code: Role[role.upper()] for role, codes in told["roles"].items() for code in codes}
    words = {word: Role[role.upper()] for role, found in told["words"].items() for word in found}
    for code, entry in load_code_set("relation_to_head").items():
        role = by_code.get(code, Role.OTHER)
        words = {code: role, entry.zh: role, entry.en.upper(): role} | words
    return words, {digit: Role[role.upper()] for digit, role in told["digits"].items()}


def roles(features: Features) -> npt.NDArray[np.int8]:
    """The :class:`Role` of each record on its source's list; 0 = none told, or not understood."""
    coded, source = features.coded["relation"], features.code("source")
    words, digits = _words()
    values = [v.removesuffix(".0").replace(" ", "") for v in coded.values]
    # A source that has codes of two digits has lost a leading zero where it has one of one digit.
    two = np.array([len(v) == 2 and v.isdigit() for v in values] + [False])
    has_two = np.zeros(int(source.max(initial=-1)) + 1, np.bool_)
    has_two[source[two[coded.codes]]] = True
    plain = np.array([words.get(v.zfill(2) if v.isdigit() else v, Role.UNKNOWN) for v in values] + [Role.UNKNOWN], np.int8)
    short = np.array([digits.get(v, words.get(v, Role.UNKNOWN)) for v in values] + [Role.UNKNOWN], np.int8)
    return np.where(has_two[source], plain[coded.codes], short[coded.codes])


@dataclass(frozen=True)
class People:
    """What is known of each person, as most of the person's records have it.

    Attributes:
        age: years on the newest day on which a record was changed; NaN = not known.
        is_male: 1 = male, 0 = female, -1 = not known.
        surname: the family name's sound, by its place among all in order; negative = not known.
    """

    age: npt.NDArray[np.float64]
    is_male: npt.NDArray[np.int8]
    surname: npt.NDArray[np.int64]


def _most_told(person: Labels, value: npt.NDArray[Any], n: int) -> npt.NDArray[np.int64]:
    """The value most records of each person have, the smallest of equals; the smallest number there is = none."""
    told = pl.DataFrame({"p": person, "v": value}).group_by("p", "v").len().sort("p", "len", "v", descending=[False, True, False])
    first = told.unique("p", keep="first", maintain_order=True)
    found = np.full(n, np.iinfo(np.int64).min)
    found[first["p"].to_numpy()] = first["v"].to_numpy()
    return found


def people(features: Features, person: Labels, on: date | None = None) -> People:
    """Ages and sexes of persons.

    Args:
        features: all records.
        person: the person of each record.
        on: today: no record was changed later, and where none says when it was, ages are counted on this day; None = not known.
    """
    n = int(person.max(initial=-1)) + 1
    known = features.birth != NO_DAY
    born = _most_told(person[known], features.birth[known], n)
    has_day = born > np.iinfo(np.int64).min
    days = features.updated[features.updated != NO_DAY]
    if on is not None:
        days = days[days <= (on - date(1970, 1, 1)).days]
    if days.size:
        today = float(np.quantile(days, 0.999))  # a few dates later than all others are slips
    elif on is not None:
        today = float((on - date(1970, 1, 1)).days)
    else:
        today = float(features.birth[known].max(initial=0))
    age = np.where(has_day, (today - born) / _YEAR, np.nan)
    sex = features.coded["sex"]
    is_male = np.array([1 if v == "1" else 0 for v in sex.values] + [-1], np.int8)[sex.codes]
    male = _most_told(person[is_male >= 0], is_male[is_male >= 0], n)
    sounds = features.coded["surname_sound"]
    place = np.append(np.argsort(np.argsort(np.array(sounds.values, dtype=str))), -1)  # codes follow the order of records
    surname = place[sounds.codes]
    return People(age, np.where(male < 0, -1, male).astype(np.int8), _most_told(person[surname >= 0], surname[surname >= 0], n))


@dataclass(frozen=True)
class Kinship:
    """Who is what to whom.

    Attributes:
        couple: number of the couple of each person, counted from 0; a person without spouse is one alone.
        parents: ``child``, ``parent``: persons; what lists tell.
        kin: ``p`` < ``q``, ``kin``: other relations of adults (:class:`Kin`).
    """

    couple: Labels
    parents: pl.DataFrame
    kin: pl.DataFrame


def _plausible(pairs: pl.DataFrame, who: People) -> pl.DataFrame:
    """Pairs of list members, both ways, with what the first is to the second; contradicted by ages or sexes = not kin."""
    p, q = pairs["p"].to_numpy(), pairs["q"].to_numpy()
    kin = _table()[pairs["role"].to_numpy(), pairs["role_q"].to_numpy()]
    older = who.age[p] - who.age[q]
    is_couple, is_parent = (kin == Kin.COUPLE) | (kin == Kin.PERHAPS_COUPLE), (kin == Kin.PARENT) | (kin == Kin.PERHAPS_PARENT)
    one_sex = (who.is_male[p] == who.is_male[q]) & (who.is_male[p] >= 0)
    wrong = is_couple & ((np.abs(older) > _SPOUSES_APART) | (who.age[p] < _MARRIED_FROM) | (who.age[q] < _MARRIED_FROM))
    wrong |= (kin == Kin.PERHAPS_COUPLE) & one_sex
    wrong |= is_parent & ((older < _PARENT_FROM) | (older > _PARENT_TO))
    return pairs.with_columns(kin=pl.Series(np.where(wrong, Kin.UNKNOWN, kin).astype(np.int8)), older=pl.Series(older))


def _couples(told: pl.DataFrame, n: int) -> Labels:
    """Couples: who is nearest in age to each other on a list, then who is told together most often."""
    votes = nearest(told).group_by("p", "q").agg(votes=pl.len(), gap=pl.col("gap").min())
    best = pl.struct(-pl.col("votes").cast(pl.Int64), "gap")
    votes = votes.with_columns(rank=best.rank("dense"))
    kept = votes.filter((pl.col("rank") == pl.col("rank").min().over("p")) & (pl.col("rank") == pl.col("rank").min().over("q")))
    return components(n, (kept["p"].to_numpy(), kept["q"].to_numpy()))


def words() -> dict[str, Role]:
    """Roles by code of GB/T 4761 or word."""
    return _words()[0]


def pairs(members: pl.DataFrame, who: People) -> pl.DataFrame:
    """What members of lists are to each other: ``list``, ``p``, ``q``, ``kin`` (:class:`Kin`), ``older``; both ways, those known alone.

    Args:
        members: ``list``, ``p``, ``role``: persons on lists that may be families.
        who: ages and sexes.
    """
    told = members.filter(pl.col("role") != Role.UNKNOWN).select("list", "p", "role")
    both = told.join(told, on="list", suffix="_q").rename({"p_q": "q"}).filter(pl.col("p") != pl.col("q"))
    return _plausible(both, who).drop("role", "role_q").filter(pl.col("kin") != Kin.UNKNOWN)


def nearest(told: pl.DataFrame) -> pl.DataFrame:
    """Couples on each list: of those who may be, who are nearest in age to each other."""
    found = told.filter(pl.col("kin").is_in([Kin.COUPLE, Kin.PERHAPS_COUPLE])).with_columns(gap=pl.col("older").abs().fill_nan(99.0))
    return found.filter((pl.col("gap") == pl.col("gap").min().over("list", "p")) & (pl.col("gap") == pl.col("gap").min().over("list", "q")))


def parents(told: pl.DataFrame, couples: pl.DataFrame) -> pl.DataFrame:
    """Parents on each list: ``list``, ``child``, ``parent``; where a couple of that list, or one person, alone can be meant.

    Args:
        told: as :func:`pairs` gives it.
        couples: as :func:`nearest` gives it.
    """
    perhaps = told.filter(pl.col("kin") == Kin.PERHAPS_PARENT)
    with_spouse = couples.group_by("list", "p").agg(spouse=pl.col("q").min())
    perhaps = perhaps.join(with_spouse, on=["list", "p"], how="left").with_columns(c=pl.min_horizontal("p", "spouse"))
    perhaps = perhaps.filter(pl.col("c").n_unique().over("list", "q") == 1)
    sure = told.filter(pl.col("kin") == Kin.PARENT)
    return pl.concat([frame.select("list", child="q", parent="p") for frame in (sure, perhaps)]).unique()


def _by_ages(groups: pl.DataFrame, who: People) -> pl.DataFrame:
    """Kinship of persons in groups that tell no relation: ``list``, ``p``, ``q``, ``kin``, ``older``, as :func:`_plausible` gives it.

    A man and a woman of two family names and about one age are taken for a couple (siblings share a name, couples hardly ever do); the
    parents of who is young are the nearest of those old enough.
    """
    groups = groups.select("list", "p")
    pairs = groups.join(groups, on="list", suffix="_q").rename({"p_q": "q"}).filter(pl.col("p") != pl.col("q"))
    p, q = pairs["p"].to_numpy(), pairs["q"].to_numpy()
    older = who.age[p] - who.age[q]
    two_sexes = (who.is_male[p] >= 0) & (who.is_male[q] >= 0) & (who.is_male[p] != who.is_male[q])
    two_names = (who.surname[p] >= 0) & (who.surname[q] >= 0) & (who.surname[p] != who.surname[q])
    grown = (who.age[p] >= _GROWN_FROM) & (who.age[q] >= _GROWN_FROM)
    couple = two_sexes & two_names & grown & (np.abs(older) <= _OF_ONE_AGE)
    parent = (who.age[q] < _GROWN_FROM) & (older >= _LIKELY_PARENT_FROM) & (older <= _LIKELY_PARENT_TO)
    kin = np.select([couple, parent], [Kin.PERHAPS_COUPLE, Kin.PERHAPS_PARENT], Kin.UNKNOWN)
    pairs = pairs.with_columns(kin=pl.Series(kin.astype(np.int8)), older=pl.Series(older))
    return pairs.filter(pl.col("kin") != Kin.UNKNOWN)


def _parents(pairs: pl.DataFrame, couple: Labels, *, is_guess: bool) -> pl.DataFrame:
    """``child``, ``parent`` of pairs that may be: by relations, one couple only can be meant; by ages, the youngest that is old enough."""
    perhaps = pairs.filter(pl.col("kin") == Kin.PERHAPS_PARENT)
    perhaps = perhaps.with_columns(c=pl.Series(couple[perhaps["p"].to_numpy()]))
    if is_guess:
        older = pl.col("older").mean().over("list", "q", "c")
        perhaps = perhaps.filter(older == older.min().over("list", "q"))
    return perhaps.filter(pl.col("c").n_unique().over("list", "q") == 1).select(child="q", parent="p")


def find(members: pl.DataFrame, doors: pl.DataFrame, listed: pl.DataFrame, who: People) -> Kinship:
    """Kinship of persons.

    Args:
        members: ``list``, ``p``, ``role``: persons on lists that may be families.
        doors: ``list``, ``p``: persons at one address; they tell of who is left without spouse or parents.
        listed: ``p``, ``s``, ``list``: who is on which list of which source; two whom a source lists apart are no couple by their door.
        who: ages and sexes.
    """
    n = who.age.size
    told = pairs(members, who)
    guessed = _by_ages(members.filter((pl.col("role") == Role.UNKNOWN).all().over("list")), who)
    couple = _couples(pl.concat([told, guessed]), n)
    at_doors = _by_ages(doors, who)
    both = at_doors.select("p", "q").unique().join(listed, on="p").join(listed.rename({"p": "q", "list": "other"}), on=["q", "s"])
    apart = both.group_by("p", "q", "s").agg(is_one=(pl.col("list") == pl.col("other")).any()).filter(~pl.col("is_one"))
    at_doors = at_doors.join(apart, on=["p", "q"], how="anti")
    is_single = np.bincount(couple, minlength=n)[couple] == 1
    free = pl.Series(is_single[at_doors["p"].to_numpy()] & is_single[at_doors["q"].to_numpy()])
    pairs_of_doors = at_doors.filter((pl.col("kin") == Kin.PERHAPS_PARENT) | free)
    of_doors = _couples(pairs_of_doors, n)
    couple = np.unique(np.where(is_single, of_doors + n, couple), return_inverse=True)[1].astype(np.int64)
    sure = told.filter(pl.col("kin") == Kin.PARENT).select(child="q", parent="p")
    parents = pl.concat([sure, _parents(told, couple, is_guess=False), _parents(guessed, couple, is_guess=True)]).unique()
    orphans = pairs_of_doors.filter(~pl.col("q").is_in(parents["child"].unique().implode()))
    parents = pl.concat([parents, _parents(orphans, couple, is_guess=True)]).unique()
    # What the second is to the first counts as well: a parent whom ages refute is of the list all the same, whichever of the two is named first.
    other = told.filter(pl.col("kin").is_in([Kin.SIBLING, Kin.OTHER]))
    other = other.group_by(p=pl.min_horizontal("p", "q"), q=pl.max_horizontal("p", "q")).agg(pl.col("kin").min())
    return Kinship(couple, parents, other)

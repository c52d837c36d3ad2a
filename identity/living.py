"""Which persons of a match file live together (共同生活的家庭成员), by the ministry's rule and by the traces of where they live.

The rule (民发〔2021〕57号 art. 7): spouses, minor children, adult children who cannot live on their own, students among them, belong to one
household wherever they sleep; others belong to it if they have lived with it for long. So

1. couples are one unit, and children who depend on their parents follow them;
2. whether two units live together is weighed (:mod:`identity.coresidence`), and units are grouped by average linkage, as records are;
3. children go where their parents are: those at boarding school, and those left with grandparents, too;
4. prisoners, persons in compulsory detoxification and those declared missing belong to nobody's.

Who is a couple, a parent, a child follows from relations and guardians where they are told, else from ages, sexes and family names.
"""

import re
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from identity import clusters, coresidence, kinship
from identity.context import LARGEST_HOME
from identity.features import MISSING, Features
from identity.kinship import Kin, Kinship, People
from identity.sure import Labels

# Minors end at 18. Most of who is younger than 22 and single studies (tertiary enrolment above 60 %, Ministry of Education 2023); who is
# younger than 25 and has a guardian told studies, for schools ask for one.
_ADULT, _MOSTLY_STUDENTS_TO, _STUDENT_TO = 18.0, 22.0, 25.0
# Years from which a guardian is more likely a grandparent.
_GUARDIAN_FROM, _GUARDIAN_TO = 14.0, 46.0
_THRESHOLD = 0.0
# What an occupation says of those whom the rule counts out, and of those who came back.
_OUT, _BACK = re.compile("服刑|监狱|羁押|强制隔离戒毒|强制戒毒|失踪|PRISONER"), re.compile("释放|刑满|期满|狱警|警察|民警")
_GENERATIONS = 4


def _members(features: Features, person: Labels) -> pl.DataFrame:
    """Persons on lists that may be families: ``list``, ``p``, ``role``; one row each, of the newest record with a role.

    Where nobody gives household numbers, those at one door are taken for a list.
    """
    listed = features.code("home")
    if (listed == MISSING).all():
        listed = np.where(coresidence.has_door(features), features.code("address"), MISSING)
    frame = pl.DataFrame({"list": listed, "p": person, "role": kinship.roles(features), "day": features.updated})
    frame = frame.filter(pl.col("list") != MISSING).with_columns(is_told=pl.col("role") > 0)
    order = ["list", "p", "is_told", "day", "role"]
    first = frame.sort(order, descending=[False, False, True, True, False]).unique(["list", "p"], keep="first", maintain_order=True)
    return first.filter(pl.len().over("list").is_between(2, LARGEST_HOME)).select("list", "p", "role")


def _doors(features: Features, person: Labels) -> pl.DataFrame:
    """Persons at addresses that may be one home: ``list``, ``p``."""
    address = np.where(coresidence.has_door(features), features.code("address"), MISSING)
    at = pl.DataFrame({"list": address, "p": person}).filter(pl.col("list") != MISSING).unique()
    return at.filter(pl.len().over("list").is_between(2, LARGEST_HOME))


def _guardians(features: Features, person: Labels, members: pl.DataFrame, who: People) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Whose guardian is whom: ``child``, ``parent``; and of which persons a guardian is told.

    A guardian is known by name alone, so the person of that name is looked for on the child's lists, at its addresses and telephones.
    """
    sound = {v: i for i, v in enumerate(features.coded["full_sound"].values)}
    guardian = features.coded["guardian_sound"]
    name = np.array([sound.get(v, MISSING) for v in guardian.values] + [MISSING], np.int64)[guardian.codes]
    has = np.zeros(who.age.size, np.bool_)
    has[person[guardian.codes != MISSING]] = True
    wards = pl.DataFrame({"child": person, "name": name}).filter(pl.col("name") != MISSING).unique()
    if wards.is_empty():
        return pl.DataFrame(schema={"child": pl.Int64, "parent": pl.Int64, "older": pl.Float64}), has
    names = pl.DataFrame({"parent": person, "name": features.code("full_sound").astype(np.int64)}).unique()
    near = [members.select("p", k="list")]
    for column in ("address", "phone"):
        near.append(pl.DataFrame({"p": person, "k": features.code(column)}).filter(pl.col("k") != MISSING).unique())
    found, around = [], []
    for shared in near:
        shared = shared.filter(pl.len().over("k") <= LARGEST_HOME)
        of_name = shared.join(names, left_on="p", right_on="parent").rename({"p": "parent"})
        of_ward = shared.rename({"p": "child"}).join(wards, on="child")
        found.append(of_ward.join(of_name, on=["k", "name"]).select("child", "parent"))
        around.append(of_ward.join(shared, on="k").select("child", "name", "p"))
    # A parent who is away is on a list with those the child is at.
    with_kin = pl.concat(around).unique().join(members.select("p", k="list"), on="p")
    of_name = members.select(k="list", parent="p").join(names, on="parent")
    found.append(with_kin.join(of_name, on=["k", "name"]).select("child", "parent"))
    both = pl.concat(found).unique().filter(pl.col("child") != pl.col("parent"))
    older = who.age[both["parent"].to_numpy()] - who.age[both["child"].to_numpy()]
    return both.with_columns(older=pl.Series(older)).filter(pl.col("older") >= _GUARDIAN_FROM), has


def _dependants(kin: Kinship, who: People, guardians: pl.DataFrame, has_guardian: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """Children who follow their parents: ``child``, ``parent``."""
    n = who.age.size
    sizes = np.bincount(kin.couple, minlength=n)
    is_single = sizes[kin.couple] == 1
    of_lists = kin.parents
    known = of_lists["child"].unique().implode()
    # Lists know better who is a parent; a guardian much older is a grandparent, who is no reason to live there if a parent is known.
    by_guardian = guardians.filter(~pl.col("child").is_in(known)).sort("child", "older")
    near = by_guardian.filter(pl.col("older") <= _GUARDIAN_TO)
    far = by_guardian.filter(~pl.col("child").is_in(near["child"].unique().implode()))
    parents = pl.concat([of_lists, near.select("child", "parent"), far.select("child", "parent")]).unique()
    is_minor = who.age < _MOSTLY_STUDENTS_TO
    of_age = ~is_minor & has_guardian & is_single
    is_student = of_age & (who.age < _STUDENT_TO)
    # An adult of that age has a guardian only if he cannot live on his own.
    named = np.zeros(n, np.bool_)
    named[guardians.join(parents, on=["child", "parent"], how="semi")["child"].to_numpy()] = True
    follows = (is_minor & is_single) | is_student | (of_age & named)
    return parents.filter(pl.Series(follows[parents["child"].to_numpy()]))


def _kin_of_units(kin: Kinship, who: People, unit: Labels, dependants: pl.DataFrame) -> pl.DataFrame:
    """Kinship of units: ``u`` < ``v``, ``kin`` as levels of :mod:`identity.coresidence`."""
    has_own = np.bincount(kin.couple, minlength=who.age.size)[kin.couple] > 1
    has_own[dependants["parent"].to_numpy()] = True
    child, parent = kin.parents["child"].to_numpy(), kin.parents["parent"].to_numpy()
    p, q, of_pair = (kin.kin[c].to_numpy() for c in ("p", "q", "kin"))
    told = pl.DataFrame(
        {
            "a": np.r_[unit[child], unit[p]].astype(np.int64),
            "b": np.r_[unit[parent], unit[q]].astype(np.int64),
            "kin": np.r_[np.where(has_own[child], 2, 1), np.where(of_pair == Kin.SIBLING, 3, 4)].astype(np.int64),
        }
    ).filter((pl.col("a") >= 0) & (pl.col("b") >= 0) & (pl.col("a") != pl.col("b")))
    return told.group_by(u=pl.min_horizontal("a", "b"), v=pl.max_horizontal("a", "b")).agg(pl.col("kin").min())


def _away_by_rule(features: Features, person: Labels) -> npt.NDArray[np.bool_]:
    """Which persons the rule counts out: prisoners, who is in compulsory detoxification, and who was declared missing."""
    coded = features.coded["occupation"]
    is_out = np.array([bool(_OUT.search(v)) and not _BACK.search(v) for v in coded.values] + [False])
    found = np.zeros(int(person.max(initial=-1)) + 1, np.bool_)
    found[person[is_out[coded.codes]]] = True
    return found


def _grouped(traces: coresidence.Traces, related: pl.DataFrame, n: int) -> Labels:
    """The home of each unit."""
    pairs = coresidence.candidates(traces).select(pl.col("u", "v").cast(pl.Int64))
    pairs = pl.concat([pairs, related.select("u", "v")]).unique().sort("u", "v")
    if pairs.is_empty():
        return np.arange(n)
    seen = coresidence.observe(traces, pairs, related)
    belief = coresidence.fit(seen, traces.n_sources)
    bits = coresidence.weigh(belief, seen)
    component = clusters.connect(clusters.Graph(n, pairs["u"].to_numpy(), pairs["v"].to_numpy(), bits), _THRESHOLD)
    a, b = clusters.within(component)
    inner_bits = coresidence.weigh(belief, coresidence.observe(traces, pl.DataFrame({"u": a, "v": b}), related))
    return clusters.cluster(component, a, b, inner_bits, _THRESHOLD, lambda p, q, w: np.zeros(p.size, np.bool_))


def _follow(label: Labels, dependants: pl.DataFrame, traces: coresidence.Traces, who: People) -> Labels:
    """Children in the household of their parents; of parents who live apart, in the one that more speaks for."""
    pairs = dependants.select(u="child", v="parent").with_row_index("i")
    shared = pairs.join(traces.lists, on="u").join(traces.lists.rename({"u": "v"}), on=["v", "s", "list"], how="semi").group_by("i").len()
    at_home = pl.Series(np.nan_to_num(coresidence.overlap(pairs, traces.addresses)))
    scored = pairs.join(shared, on="i", how="left", maintain_order="left").with_columns(
        score=(pl.col("len").fill_null(0) + 2.0 * at_home).round(3), age=pl.Series(who.age[pairs["v"].to_numpy()])
    )
    label = label.copy()
    for _ in range(_GENERATIONS):
        at = scored.with_columns(home=pl.Series(label[scored["v"].to_numpy()])).filter(pl.col("home") >= 0)
        homes = at.group_by("u", "home").agg(pl.col("score").sum(), pl.col("age").min())
        best = homes.sort("u", "score", "age", "home", descending=[False, True, False, False]).unique(
            "u", keep="first", maintain_order=True
        )
        new = best.filter(pl.Series(label[best["u"].to_numpy()] < 0))
        if new.is_empty():
            break
        label[new["u"].to_numpy()] = new["home"].to_numpy()
    return label


def resolve(features: Features, person: Labels, on: date | None = None) -> Labels:
    """Households living together.

    Args:
        features: all records.
        person: the person of each record.
        on: as in :func:`identity.kinship.people`.

    Returns:
        The household of each person, numbered from 0; persons nothing is known of live alone.
    """
    n = int(person.max(initial=-1)) + 1
    if not n:
        return np.zeros(0, np.int64)
    who = kinship.people(features, person, on)
    members = _members(features, person)
    listed = (
        pl.DataFrame({"p": person, "s": features.code("source"), "list": features.code("home")}).filter(pl.col("list") != MISSING).unique()
    )
    kin = kinship.find(members, _doors(features, person), listed, who)
    dependants = _dependants(kin, who, *_guardians(features, person, members, who))
    counts_not = _away_by_rule(features, person)
    dependants = dependants.filter(pl.Series(~counts_not[dependants["child"].to_numpy()]))
    counts_not[dependants["child"].to_numpy()] = True
    unit = np.where(counts_not, -1, kin.couple)
    related = _kin_of_units(kin, who, unit, dependants)
    home = _grouped(coresidence.gather(features, person, unit), related, n)
    label = np.where(unit >= 0, home[np.maximum(unit, 0)], -1)
    if dependants.height:
        label = _follow(label, dependants, coresidence.gather(features, person, np.arange(n)), who)
    alone = np.flatnonzero(label < 0)
    label[alone] = n + np.arange(alone.size)
    return np.unique(label, return_inverse=True)[1].astype(np.int64)

"""Evidence that two who can live on their own live together: local lists, addresses, telephones, kinship; weighed without truth.

The model is naive Bayes over pairs that share a list, an address or kin, fitted to the table at hand by expectation and maximisation from
figures that are the project's own. So each source is believed as far as the others, and addresses, bear it out: nobody says whether a
source's numbers tell who lives together (共同生活) or who is on one household register (户籍).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from identity.context import LARGEST_HOME
from identity.features import MISSING, NO_DAY, Features
from identity.score import Bits
from identity.sure import Labels

Codes = npt.NDArray[np.int8]
Weights = npt.NDArray[np.float64]

_ROUNDS = 12
# Half of what an address is worth is gone after so many days without word from its source.
_HALF_LIFE_DAYS = 730.0
# Two have one address if they agree in half of what is told of each.
_AGREES = 0.5
# The most that one list can say for or against.
_MOST_FOR, _MOST_AGAINST = 6.0, -8.0
# Levels of addresses: not known, the same, the same in a part of the records, the same village, elsewhere.
_ADDRESS_TOGETHER, _ADDRESS_APART = np.array([0.80, 0.08, 0.05, 0.07]), np.array([0.10, 0.08, 0.27, 0.55])
# A telephone shared by few: not known, shared, not shared.
_PHONE_TOGETHER, _PHONE_APART = np.array([0.35, 0.65]), np.array([0.04, 0.96])
# Being on one list, of those a source holds both; every other list may be a register, which says little of who lives apart.
_LISTED_TOGETHER, _LISTED_APART = 0.97, 0.5
# How likely candidates live together: on one list, single child and parent, married child and parent, siblings, other kin, nothing but one door.
_KIN_TOGETHER = np.array([0.4, 0.75, 0.5, 0.4, 0.5, 0.75])
_NOTHING_BUT_A_DOOR = 5
# What comes with the hub counts as so many pairs seen before.
_SEEN, _KIN_SEEN = 60.0, 20.0


@dataclass(frozen=True)
class Traces:
    """What records tell of where units (persons or couples) live.

    Attributes:
        lists: ``u``, ``s``, ``list``: unit, source and number on it.
        addresses: ``u``, ``a``, ``w``: share of an address in what is told of the unit.
        places: the same of villages and streets.
        phones: ``u``, ``a``: telephones few have.
    """

    lists: pl.DataFrame
    addresses: pl.DataFrame
    places: pl.DataFrame
    phones: pl.DataFrame

    @property
    def n_sources(self) -> int:
        """How many sources are numbered."""
        return int(self.lists["s"].max() or 0) + 1  # type: ignore[arg-type]


@dataclass(frozen=True)
class Observed:
    """What is seen of pairs of units.

    Attributes:
        address, phone, kin: levels, one per pair.
        pair, source, is_one: per pair and source that holds both: pair (ascending), source, whether they are on one list.
    """

    address: Codes
    phone: Codes
    kin: Codes
    pair: npt.NDArray[np.int64]
    source: npt.NDArray[np.int64]
    is_one: npt.NDArray[np.bool_]


def _shares(told: pl.DataFrame) -> pl.DataFrame:
    """Share of each value in what is told of each person, then of each unit: a person with many records counts once."""
    of_person = told.group_by("p", "u", "a").agg(w=pl.col("w").sum())
    of_person = of_person.with_columns(w=pl.col("w") / pl.col("w").sum().over("p"), n=pl.col("p").n_unique().over("u"))
    return of_person.group_by("u", "a").agg(w=(pl.col("w") / pl.col("n")).sum())


def has_door(features: Features) -> npt.NDArray[np.bool_]:
    """Which records tell an address down to the door: one with a number in it that does not end with a village or street."""
    told = pl.Series(features.coded["address"].values, dtype=pl.String)
    numbered = told.str.contains(r"\d") & ~told.str.contains(r"(?:村|社区|居委会|村委会|村民委员会|居民委员会|镇|乡|街道|路|街)$")
    address = features.code("address")
    return np.asarray((address != MISSING) & (np.append(numbered.to_numpy(), False)[address] | (features.code("place") == MISSING)))


def gather(features: Features, person: Labels, unit: Labels) -> Traces:
    """Traces of units.

    Args:
        features: all records.
        person: the person of each record.
        unit: the unit of each person; negative = counts for nobody.
    """
    updated = features.updated
    known = updated != NO_DAY
    newest = float(np.quantile(updated[known], 0.999)) if known.any() else 0.0
    weight = np.where(known, 0.5 ** (np.clip(newest - updated.astype(np.float64), 0.0, 3650.0) / _HALF_LIFE_DAYS), 0.5)
    frame = pl.DataFrame(
        {
            "p": person, "u": unit[person], "s": features.code("source"), "list": features.code("home"), "register": features.code("register"), "address": features.code("address"),
            "place": features.code("place"), "phone": features.code("phone"), "w": weight,
        }
    ).filter(pl.col("u") >= 0)  # fmt: skip
    # Register numbers told beside household numbers are as if of a source of their own.
    registers = frame.select(
        "u", s=pl.col("s") + len(features.coded["source"].values), list=pl.col("register") + len(features.coded["home"].values)
    )
    registers = registers.filter(frame["register"] != MISSING)
    lists = pl.concat([frame.filter(pl.col("list") != MISSING).select("u", "s", "list"), registers]).unique()
    houses = frame.filter(pl.Series(has_door(features)[unit[person] >= 0]))
    houses = houses.filter(pl.col("p").n_unique().over("address") <= LARGEST_HOME)
    phones = frame.filter(pl.col("phone") != MISSING).select("u", "p", a="phone").unique()
    phones = phones.filter(pl.col("p").n_unique().over("a") <= LARGEST_HOME).select("u", "a").unique()
    villages = frame.filter(pl.col("place") != MISSING)
    return Traces(lists, _shares(houses.rename({"address": "a"})), _shares(villages.rename({"place": "a"})), phones)


def candidates(traces: Traces) -> pl.DataFrame:
    """Pairs of units ``u`` < ``v`` on one list, or at one address."""
    found = []
    for held, key in ((traces.lists, "list"), (traces.addresses, "a")):
        small = held.select("u", key).unique().filter(pl.len().over(key).is_between(2, LARGEST_HOME))
        both = small.join(small, on=key, suffix="_v").filter(pl.col("u") < pl.col("u_v"))
        found.append(both.select("u", v="u_v"))
    return pl.concat(found).unique()


def overlap(pairs: pl.DataFrame, shares: pl.DataFrame) -> npt.NDArray[np.float64]:
    """How much of what is told of two agrees, from 0 to 1; NaN where nothing is told of one.

    Args:
        pairs: ``i`` (counted from 0, in order), ``u``, ``v``.
        shares: ``u``, ``a``, ``w``, as in :class:`Traces`.
    """
    common = pairs.join(shares, on="u").join(shares.rename({"u": "v", "w": "w_v"}), on=["v", "a"])
    by_pair = common.group_by("i").agg(w=pl.min_horizontal("w", "w_v").sum())
    found = np.zeros(pairs.height)
    found[by_pair["i"].to_numpy()] = by_pair["w"].to_numpy()
    told = shares["u"].unique().implode()
    is_known = pairs.select(pl.col("u").is_in(told) & pl.col("v").is_in(told)).to_series().to_numpy()
    return np.where(is_known, found, np.nan)


def observe(traces: Traces, pairs: pl.DataFrame, kin: pl.DataFrame) -> Observed:
    """What is seen of some pairs.

    Args:
        traces: what records tell of units.
        pairs: ``u`` < ``v``.
        kin: ``u`` < ``v``, ``kin``: place in `_KIN_TOGETHER` of pairs that are kin.
    """
    pairs = pairs.select("u", "v").with_row_index("i")
    house, village = overlap(pairs, traces.addresses), overlap(pairs, traces.places)
    address = np.select([house >= _AGREES, house > 0, (village > 0) & ~np.isnan(house), ~np.isnan(house)], [1, 2, 3, 4], 0)
    has_phone = traces.phones["u"].unique().implode()
    known = pairs.select(pl.col("u").is_in(has_phone) & pl.col("v").is_in(has_phone)).to_series().to_numpy()
    shared = pairs.join(traces.phones, on="u").join(traces.phones.rename({"u": "v"}), on=["v", "a"], how="semi")["i"].unique().to_numpy()
    phone = np.where(known, 2, 0)
    phone[shared] = 1
    related = pairs.join(kin, on=["u", "v"], how="left", maintain_order="left")["kin"].fill_null(0).to_numpy()
    held = traces.lists.select("u", "s").unique()
    both = pairs.join(held, on="u").join(held.rename({"u": "v"}), on=["v", "s"])
    one = pairs.join(traces.lists, on="u").join(traces.lists.rename({"u": "v"}), on=["v", "s", "list"], how="semi")
    is_listed = np.zeros(pairs.height, np.bool_)
    is_listed[one["i"].unique().to_numpy()] = True
    related = np.where((related == 0) & ~is_listed, _NOTHING_BUT_A_DOOR, related)
    both = both.join(one.select("i", "s").unique().with_columns(is_one=True), on=["i", "s"], how="left").sort("i", "s")
    return Observed(
        address.astype(np.int8), phone.astype(np.int8), related.astype(np.int8), both["i"].to_numpy().astype(np.int64),
        both["s"].to_numpy().astype(np.int64), both["is_one"].fill_null(False).to_numpy(),
    )  # fmt: skip


@dataclass(frozen=True)
class Belief:
    """Bits by level; the first level of addresses and telephones is "not known".

    Attributes:
        address, phone, kin: bits by level.
        together, apart: bits of being on one list, or on two, by source.
    """

    address: Weights
    phone: Weights
    kin: Weights
    together: Weights
    apart: Weights

    def bits(self, seen: Observed) -> Weights:
        """log2 odds that pairs live together.

        Sources are not independent (registers are copied from one another), so the strongest voice of each side counts, not their sum.
        """
        address = self.address[seen.address]
        # One door is why such a pair is looked at: it is no further evidence.
        address = np.where(seen.kin == _NOTHING_BUT_A_DOOR, np.minimum(address, 0.0), address)
        found = address + self.phone[seen.phone] + self.kin[seen.kin]
        if seen.pair.size:
            said = np.where(seen.is_one, self.together[seen.source], self.apart[seen.source])
            first = np.flatnonzero(np.r_[True, seen.pair[1:] != seen.pair[:-1]])
            at = seen.pair[first]
            found[at] += np.maximum(np.maximum.reduceat(said, first), 0.0) + np.minimum(np.minimum.reduceat(said, first), 0.0)
        return np.asarray(found)


def _bits(together: Weights, apart: Weights) -> Weights:
    return np.asarray(np.r_[0.0, np.log2(together / together.sum()) - np.log2(apart / apart.sum())])


def fit(seen: Observed, n_sources: int) -> Belief:
    """What each observation says in this table."""
    start = np.log2(_KIN_TOGETHER / (1.0 - _KIN_TOGETHER))
    one = np.full(n_sources, np.log2(_LISTED_TOGETHER / _LISTED_APART))
    two = np.full(n_sources, np.log2((1 - _LISTED_TOGETHER) / (1 - _LISTED_APART)))
    belief = Belief(_bits(_ADDRESS_TOGETHER, _ADDRESS_APART), _bits(_PHONE_TOGETHER, _PHONE_APART), start, one, two)
    # Neighbours at one door are as many as the county is large; what they have in common tells nothing of how families are listed.
    counts = (seen.kin != _NOTHING_BUT_A_DOOR).astype(np.float64)
    counts_too = counts[seen.pair]
    for _ in range(_ROUNDS):
        q = 1.0 / (1.0 + np.exp2(-belief.bits(seen)))
        levels = []
        for codes, prior_one, prior_two in (
            (seen.address, _ADDRESS_TOGETHER, _ADDRESS_APART), (seen.phone, _PHONE_TOGETHER, _PHONE_APART)
        ):  # fmt: skip
            n = prior_one.size + 1
            of_one, of_two = np.bincount(codes, q * counts, n)[1:], np.bincount(codes, (1.0 - q) * counts, n)[1:]
            levels.append(_bits(of_one + _SEEN * prior_one, of_two + _SEEN * prior_two))
        n = _KIN_TOGETHER.size
        together = np.bincount(seen.kin, q, n) + _KIN_SEEN * _KIN_TOGETHER
        apart = np.bincount(seen.kin, 1.0 - q, n) + _KIN_SEEN * (1.0 - _KIN_TOGETHER)
        of_pair, not_of_pair = q[seen.pair] * counts_too, (1.0 - q[seen.pair]) * counts_too
        listed_one = np.bincount(seen.source, of_pair * seen.is_one, n_sources) + _SEEN * _LISTED_TOGETHER
        listed_two = np.bincount(seen.source, not_of_pair * seen.is_one, n_sources) + _SEEN * _LISTED_APART
        one_share = listed_one / (np.bincount(seen.source, of_pair, n_sources) + _SEEN)
        two_share = listed_two / (np.bincount(seen.source, not_of_pair, n_sources) + _SEEN)
        belief = Belief(
            levels[0], levels[1], np.log2(together / apart),
            np.clip(np.log2(one_share / two_share), 0.0, _MOST_FOR),
            np.clip(np.log2((1 - one_share) / (1 - two_share)), _MOST_AGAINST, 0.0),
        )  # fmt: skip
    return belief


def weigh(belief: Belief, seen: Observed) -> Bits:
    """log2 odds that pairs live together."""
    return np.round(belief.bits(seen), 3).astype(np.float32)

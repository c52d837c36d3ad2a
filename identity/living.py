"""Which persons of a match file live together, from local household numbers and addresses.

Each source has household numbers of its own, of one kind or the other: some tell who lives together (共同生活), some who is on one household
register (户籍). Which is which nobody says, so a source is believed as far as addresses bear it out where other sources contradict it.
Persons are then grouped by average linkage, as records are: being listed apart by a source counts against.
"""

import numpy as np
import polars as pl

from identity import clusters
from identity.features import MISSING, Features
from identity.sure import Labels

# More persons at one address or under one number are an institution, not a family.
_LARGEST_HOME = 15
# Bits by one address or two, by one telephone, and the most that numbers can give.
_SAME_ADDRESS, _OTHER_ADDRESS, _SAME_PHONE = 3.0, -3.2, 1.5
_MOST_FOR, _MOST_AGAINST = 6.0, -8.0
# Where no source that tells homes holds both, what speaks against a pair is weak: registers and old addresses lag behind life.
_LEAST_AGAINST = -3.5
_TELLS_HOMES = 0.97
_THRESHOLD = 1.5


def _pairs(held: pl.DataFrame, key: str) -> pl.DataFrame:
    """Pairs ``p`` < ``q`` of persons with an equal key, small groups only."""
    small = held.filter(pl.len().over(key).is_between(2, _LARGEST_HOME))
    return small.join(small, on=key, suffix="_q").filter(pl.col("p") < pl.col("p_q")).rename({"p_q": "q"})


def _address_votes(pairs: pl.DataFrame, addresses: pl.DataFrame) -> pl.DataFrame:
    """Adds ``same_address``: whether two persons gave an equal address; null if one gave none."""
    known = addresses.select("p").unique()
    equal = (
        pairs.join(addresses, on="p")
        .join(addresses, left_on=["q", "address"], right_on=["p", "address"], how="semi")
        .select("p", "q")
        .unique()
    )
    return (
        pairs.join(equal.with_columns(_equal=True), on=["p", "q"], how="left")
        .join(known.with_columns(_kp=True), on="p", how="left")
        .join(known.with_columns(_kq=True), left_on="q", right_on="p", how="left")
        .with_columns(same_address=pl.when(pl.col("_equal")).then(True).when(pl.col("_kp") & pl.col("_kq")).then(False))
        .drop("_equal", "_kp", "_kq")
    )


def _shared(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Pairs that share a value of few persons: ``p``, ``q``, ``_same``."""
    held = frame.filter(pl.col(column) != MISSING).select("p", column).unique()
    return _pairs(held, column).select("p", "q").unique().with_columns(_same=True)


def _elsewhere(rows: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Whether two persons give one address to the sources other than one: ``p``, ``q``, ``source``, ``is_home``; pairs with addresses alone.

    A register writes its own address beside its own number: it is no witness of itself.
    """
    key = ["p", "q", "source"]
    told = frame.filter(pl.col("address") != MISSING).select("p", "address", by="source").unique()
    one = rows.select(key).join(told, on="p").filter(pl.col("by") != pl.col("source"))
    both = one.join(told.rename({"p": "q", "address": "other", "by": "by_q"}), on="q").filter(pl.col("by_q") != pl.col("source"))
    return both.group_by(key).agg(is_home=(pl.col("address") == pl.col("other")).any())


def _votes(pairs: pl.DataFrame, listed: pl.DataFrame, homes: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """What local numbers say of pairs: ``for`` and ``against`` in bits, ``is_told``: a source that tells homes holds both.

    Sources are not independent (registers are copied from one another), so the strongest voice of each side counts, not their sum.
    """
    both = (
        pairs.select("p", "q", "same_address")
        .join(homes.select("p", "source").unique(), on="p")
        .join(homes.select("source", q="p").unique(), on=["q", "source"])
        .join(listed.with_columns(is_one=True), on=["p", "q", "source"], how="left")
        .with_columns(pl.col("is_one").fill_null(False))
        .with_columns(is_torn=(~pl.col("is_one")).any().over("p", "q"))
    )
    # Where sources contradict each other, addresses are the witness: of pairs a source lists together and another apart, how many give one
    # address, against pairs all sources list together.
    witness = both.filter("is_one").join(_elsewhere(both.filter("is_one"), frame), on=["p", "q", "source"])
    one_home = pl.col("is_home").filter(~pl.col("is_torn")).mean()
    torn_home = pl.col("is_home").filter("is_torn").mean()
    torn = both.filter("is_one").group_by("source").agg(torn=pl.col("is_torn").mean())
    belief = witness.group_by("source").agg(ratio=(torn_home / one_home).clip(0.0, 1.0)).join(torn, on="source")
    belief = belief.select("source", false=pl.col("torn") * (1.0 - pl.col("ratio")))
    belief = belief.select("source", belief=(1.0 - pl.col("false").fill_nan(0.0).fill_null(0.0)).clip(0.02, 0.985))
    both = both.join(belief, on="source", how="left")
    # How often a source lists apart those who give one address and are one home by another source.
    together = both.filter(pl.col("same_address") & (pl.col("is_one") & (pl.col("belief") > _TELLS_HOMES)).any().over("p", "q"))
    apart = together.group_by("source").agg(apart=(1.0 - pl.col("is_one").mean()))
    both = both.join(apart, on="source", how="left").with_columns(pl.col("apart").fill_null(0.03).clip(0.004, 0.9))
    says_for = pl.when("is_one").then((pl.col("belief") / (1.0 - pl.col("belief"))).log(2).clip(0.0, _MOST_FOR))
    says_against = pl.when(~pl.col("is_one")).then(pl.col("apart").log(2).clip(_MOST_AGAINST, 0.0))
    return both.group_by("p", "q").agg(
        says_for.max().alias("for"), says_against.min().alias("against"), is_told=(pl.col("belief") > _TELLS_HOMES).any()
    )


def resolve(features: Features, person: Labels) -> Labels:
    """Households living together.

    Args:
        features: all records.
        person: the person of each record.

    Returns:
        The household of each person, numbered from 0; persons nothing is known of live alone.
    """
    n = int(person.max(initial=-1)) + 1
    frame = pl.DataFrame(
        {
            "p": person,
            "source": features.code("source"),
            "home": features.code("home"),
            "address": features.code("address"),
            "phone": features.code("phone"),
        }
    )
    homes = frame.filter(pl.col("home") != MISSING).select("p", "source", "home").unique()
    addresses = frame.filter(pl.col("address") != MISSING).select("p", "address").unique()
    listed = _pairs(homes, "home").select("p", "q", "source").unique()
    together = _pairs(addresses, "address").select("p", "q").unique()
    pairs = _address_votes(pl.concat([listed.select("p", "q"), together]).unique(), addresses)
    if pairs.is_empty():
        return np.arange(n)

    votes = _votes(pairs, listed, homes, frame)
    weighed = (
        pairs.join(votes, on=["p", "q"], how="left")
        .join(_shared(frame, "phone"), on=["p", "q"], how="left")
        .with_columns(
            bits=pl.col("for").fill_null(0.0) + pl.col("against").fill_null(0.0) + pl.when("_same").then(_SAME_PHONE).otherwise(0.0)
            + pl.when("same_address").then(_SAME_ADDRESS).when(~pl.col("same_address")).then(_OTHER_ADDRESS).otherwise(0.0)
        )
        .with_columns(bits=pl.when(pl.col("is_told").fill_null(False)).then("bits").otherwise(pl.col("bits").clip(_LEAST_AGAINST)))
    )  # fmt: skip
    a, b, bits = (weighed[c].to_numpy() for c in ("p", "q", "bits"))
    component = clusters.connect(clusters.Graph(n, a, b, bits.astype(np.float32)), _THRESHOLD)
    inner_a, inner_b = clusters.within(component)
    inner = pl.DataFrame({"p": inner_a, "q": inner_b}).join(
        weighed.select("p", "q", "bits"), on=["p", "q"], how="left", maintain_order="left"
    )
    # Two persons no number and no address ties, in one component: more likely neighbours of a bridge than a family.
    inner_bits = inner["bits"].fill_null(_LEAST_AGAINST).to_numpy().astype(np.float32)
    return clusters.cluster(component, inner_a, inner_b, inner_bits, _THRESHOLD, lambda p, q, w: np.zeros(p.size, np.bool_))

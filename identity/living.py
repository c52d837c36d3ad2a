"""Which persons of a match file live together, from local household numbers and addresses.

Each source has household numbers of its own, of one kind or the other: some tell who lives together (共同生活), some who is on one household
register (户籍). Which is which nobody says, so a source is believed as far as the people it lists together also give one address.
Persons are then grouped by average linkage, as records are: being listed apart by a source counts against.
"""

import numpy as np
import polars as pl

from identity import clusters
from identity.features import MISSING, Features
from identity.sure import Labels

# More persons at one address or under one number are an institution, not a family.
_LARGEST_HOME = 15
# Bits for and against, at full belief and at none.
_SAME_NUMBER, _OTHER_NUMBER, _SAME_ADDRESS, _OTHER_ADDRESS = 6.0, -4.0, 3.0, -2.5
_LEAST_BELIEF = 0.1
_THRESHOLD = 0.5


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
        {"p": person, "source": features.code("source"), "home": features.code("home"), "address": features.code("address")}
    )
    homes = frame.filter(pl.col("home") != MISSING).select("p", "source", "home").unique()
    addresses = frame.filter(pl.col("address") != MISSING).select("p", "address").unique()
    listed = _pairs(homes, "home").select("p", "q", "source").unique()
    together = _pairs(addresses, "address").select("p", "q").unique()
    pairs = _address_votes(pl.concat([listed.select("p", "q"), together]).unique(), addresses)
    if pairs.is_empty():
        return np.arange(n)

    # A source whose number-mates give different addresses lists registers rather than homes.
    told = listed.join(pairs, on=["p", "q"]).filter(pl.col("same_address").is_not_null())
    belief = told.group_by("source").agg(belief=pl.col("same_address").mean())
    best = belief["belief"].max() if belief.height else 1.0
    belief = belief.with_columns(belief=((pl.col("belief") / best - 0.5) * 2).clip(_LEAST_BELIEF, 1.0))

    # Every source that holds both persons has its say: one number or two.
    both = pairs.select("p", "q").join(homes.select("p", "source").unique(), on="p").join(
        homes.select(q="p", source="source").unique(), on=["q", "source"]
    )  # fmt: skip
    both = both.join(listed.with_columns(is_one=True), on=["p", "q", "source"], how="left").join(belief, on="source", how="left")
    vote = pl.when(pl.col("is_one")).then(_SAME_NUMBER).otherwise(_OTHER_NUMBER) * pl.col("belief").fill_null(1.0)
    votes = both.group_by("p", "q").agg(votes=vote.sum())
    weighed = pairs.join(votes, on=["p", "q"], how="left").with_columns(
        bits=pl.col("votes").fill_null(0.0)
        + pl.when(pl.col("same_address")).then(_SAME_ADDRESS).when(~pl.col("same_address")).then(_OTHER_ADDRESS).otherwise(0.0)
    )
    a, b, bits = (weighed[c].to_numpy() for c in ("p", "q", "bits"))
    component = clusters.connect(clusters.Graph(n, a, b, bits.astype(np.float32)), _THRESHOLD)
    inner_a, inner_b = clusters.within(component)
    inner = pl.DataFrame({"p": inner_a, "q": inner_b}).join(
        weighed.select("p", "q", "bits"), on=["p", "q"], how="left", maintain_order="left"
    )
    # Two persons no number and no address ties, in one component: more likely neighbours of a bridge than a family.
    inner_bits = inner["bits"].fill_null(_OTHER_ADDRESS).to_numpy().astype(np.float32)
    return clusters.cluster(component, inner_a, inner_b, inner_bits, _THRESHOLD, lambda p, q, w: np.zeros(p.size, np.bool_))

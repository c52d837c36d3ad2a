"""A sample everybody draws alike and nobody can choose."""

import uuid

import numpy as np
import polars as pl

from identity import sampling


def ids(name, n):
    return pl.Series([str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}{i}")) for i in range(n)])


def test_a_pair_lies_where_it_lies_whichever_of_its_records_comes_first():
    a, b = ids("a", 50), ids("b", 50)
    assert (sampling.place(a, b) == sampling.place(b, a)).all()


def test_ids_may_be_text_or_integers():
    a, b = ids("a", 50), ids("b", 50)
    small = [pl.Series([uuid.UUID(i).int >> 1 for i in s], dtype=pl.Int128) for s in (a, b)]
    same = [pl.Series([str(uuid.UUID(int=i)) for i in s]) for s in small]
    assert (sampling.place(*small) == sampling.place(*same)).all()


def mixed(value):
    """SplitMix64's finaliser, on Python's own integers."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> shift)) * factor % 2**64
    return value ^ (value >> 31)


def test_a_pairs_place_is_the_same_on_every_machine_and_day():
    a, b = uuid.UUID(int=3 << 64 | 5), uuid.UUID(int=3 << 64 | 9)
    state = 0
    for half in (3, 5, 3, 9):
        state = mixed(((state ^ half) + 0x9E3779B97F4A7C15) % 2**64)
    assert sampling.place(pl.Series([str(a)]), pl.Series([str(b)]))[0] == (state >> 11) / 2**53


def test_a_tenth_of_the_range_holds_about_a_tenth_of_the_pairs_also_of_neighbouring_ids():
    """Ids made one after another on one day, as the night makes them, differ in few places."""
    n = 20_000
    a = pl.Series([str(uuid.UUID(int=(0x0195_0000_0000_7000_8000 << 48) + i)) for i in range(n)])
    b = pl.Series([str(uuid.UUID(int=(0x0195_0000_0000_7000_8000 << 48) + i + 1)) for i in range(n)])
    counts = np.histogram(sampling.place(a, b), bins=10, range=(0, 1))[0]
    # 20 000 fair draws into ten cells: five standard deviations are 212.
    assert np.abs(counts - n / 10).max() < 212

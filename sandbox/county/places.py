"""Places of the county as one number each, and how an address is written and coded."""

import numpy as np
import polars as pl

TOWNS, VILLAGES, LANES = 16, 20, 12
_DOORS = 1000
# Where people of the county work or study: area code, city, districts. Numbers of such places are negative.
_CITIES = (("440300", "广东省深圳市", "宝安区"), ("440300", "广东省深圳市", "龙岗区"), ("420100", "湖北省武汉市", "洪山区"))
_STREETS = ("新桥", "福永", "民治", "布吉", "关山", "珞南")


def encode(town: np.ndarray, village: np.ndarray, lane: np.ndarray, door: np.ndarray, is_urban: np.ndarray) -> np.ndarray:
    """The number of a place; all parts count from 0."""
    return np.asarray((((town * VILLAGES + village) * LANES + lane) * _DOORS + door) * 2 + is_urban)


def anywhere(rng: np.random.Generator, n: int, homes: int) -> np.ndarray:
    """`n` places in the county; doors are as many as so many homes need."""
    doors = int(np.clip(homes / (TOWNS * VILLAGES * LANES) * 2, 60, _DOORS - 1))
    town, village = rng.integers(0, TOWNS, n), rng.integers(0, VILLAGES, n)
    return encode(town, village, rng.integers(0, LANES, n), rng.integers(0, doors, n), rng.random(n) < 0.3)


def nearby(rng: np.random.Generator, place: np.ndarray, homes: int) -> np.ndarray:
    """Another place in the same village for each place."""
    there = anywhere(rng, place.size, homes)
    span = LANES * _DOORS * 2
    return np.asarray(place // span * span + there % span)


def away(rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` places outside the county."""
    return -1 - rng.integers(0, 600_000, n)


def village(place: np.ndarray) -> np.ndarray:
    """The village of a place, from 0."""
    return np.asarray(np.maximum(place, 0) // (LANES * _DOORS * 2))


def area_codes(column: str) -> pl.Expr:
    """The area code of a place: twelve digits in the county, six outside."""
    place = pl.col(column)
    at = place // (LANES * _DOORS * 2)
    inside = pl.format("421022{}{}", 100 + at // VILLAGES, 200 + at % VILLAGES)
    city = (-1 - place) % len(_CITIES)
    outside = city.replace_strict({i: code for i, (code, _, _) in enumerate(_CITIES)}, default=None, return_dtype=pl.String)
    return pl.when(place >= 0).then(inside).otherwise(outside)


def addresses(column: str) -> pl.Expr:
    """The address of a place in full: groups and doors in villages, buildings, stairs and rooms in town."""
    place = pl.col(column)
    door, lane = place // 2 % _DOORS, place // 2 // _DOORS % LANES
    at = place // (LANES * _DOORS * 2)
    start = pl.format("湖北省荆州市公安县第{}镇第{}", at // VILLAGES + 1, at % VILLAGES + 1)
    rural = pl.format("{}村{}组{}号", start, lane + 1, door + 1)
    room = (door % 12 // 2 + 1) * 100 + door % 2 + 1
    urban = pl.format("{}社区{}栋{}单元{}室", start, lane * 42 + door // 24 + 1, door // 12 % 2 + 1, room)
    city, rest = (-1 - place) % len(_CITIES), (-1 - place) // len(_CITIES)
    where = city.replace_strict({i: c + d for i, (_, c, d) in enumerate(_CITIES)}, default=None, return_dtype=pl.String)
    street = (rest % len(_STREETS)).replace_strict(dict(enumerate(_STREETS)), default=None, return_dtype=pl.String)
    outside = pl.format("{}{}街道{}号", where, street, rest // len(_STREETS) % 900 + 1)
    return pl.when(place < 0).then(outside).when(place % 2 == 1).then(urban).otherwise(rural)

"""The people of the county on its first night: households by type, then persons in their roles."""

from datetime import date

import numpy as np
import polars as pl

from sandbox.county import names

# Households by type: share, and per member (relation to the head by GB/T 4761, male share, youngest age, oldest age).
_TYPES: tuple[tuple[float, tuple[tuple[str, float, int, int], ...]], ...] = (
    (0.10, (("02", 0.45, 62, 92),)),  # single elder
    (0.08, (("02", 0.60, 22, 55),)),
    (0.17, (("02", 1.0, 50, 80), ("12", 0.0, 48, 78))),
    (0.18, (("02", 1.0, 28, 48), ("12", 0.0, 26, 46), ("20", 0.53, 0, 18))),
    (0.15, (("02", 1.0, 28, 50), ("12", 0.0, 27, 48), ("22", 1.0, 6, 20), ("30", 0.0, 0, 16))),
    (0.16, (("02", 1.0, 32, 52), ("12", 0.0, 30, 50), ("20", 0.53, 0, 20), ("51", 1.0, 58, 86), ("52", 0.0, 56, 84))),
    (0.06, (("02", 0.2, 25, 50), ("20", 0.5, 0, 18))),  # single parent
    (0.10, (("02", 1.0, 52, 76), ("12", 0.0, 50, 74), ("41", 0.53, 1, 15))),  # grandparents with a left-behind child
)
_LEFT_BEHIND = 7
_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_CHECK = np.array(list("10X98765432"))
# Where numbers were first issued: mostly the county, else elsewhere, one of them a retired code.
_ID_AREAS = np.array(["421022", "421023", "421081", "422422", "500236", "440305"])


def resident_ids(area: np.ndarray, birth: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """Valid numbers (GB 11643-1999) from area, birth date as YYYYMMDD text and 3-digit sequence (odd = male)."""
    first = np.char.add(np.char.add(area, birth), np.char.zfill(sequence.astype("U3"), 3))
    if not first.size:
        return first
    digits = np.frombuffer("".join(first.tolist()).encode(), dtype=np.uint8).reshape(-1, 17) - 48
    return np.char.add(first, _CHECK[(digits.astype(np.int64) @ _WEIGHTS) % 11])


def _sequence(area: np.ndarray, birth: np.ndarray, is_male: np.ndarray) -> np.ndarray:
    """Sequence numbers, unique within area, day and sex."""
    frame = pl.DataFrame({"a": area, "b": birth, "m": is_male})
    place = frame.select((pl.int_range(pl.len()).over("a", "b", "m")).alias("n"))["n"].to_numpy()
    return np.asarray((place * 2 + is_male) % 1000)


def addresses(town: np.ndarray, village: np.ndarray, lane: np.ndarray, door: np.ndarray, is_urban: np.ndarray) -> np.ndarray:
    """Addresses as written: groups and doors in villages, buildings, stairs and rooms in town."""
    frame = pl.DataFrame({"t": town, "v": village, "l": lane, "d": door, "u": is_urban})
    start = pl.format("湖北省荆州市公安县第{}镇", "t")
    rural = pl.format("{}第{}村{}组{}号", start, "v", "l", "d")
    urban = pl.format("{}第{}社区{}栋{}单元{}室", start, "v", "l", pl.col("d") % 4 + 1, pl.col("d") % 6 * 100 + pl.col("d") % 4 + 101)
    return frame.select(pl.when("u").then(urban).otherwise(rural).alias("a"))["a"].to_numpy()


def settle(seed: int, n_persons: int, epoch: date) -> pl.DataFrame:
    """Everybody on the day before the first night.

    Returns:
        One row a person; the columns are the county's vocabulary. ``person`` numbers them from 0 and is the truth.
    """
    rng = np.random.default_rng([seed, 1])
    sizes = np.array([len(members) for _, members in _TYPES])
    shares = np.array([share for share, _ in _TYPES]) / sum(share for share, _ in _TYPES)
    n_homes = int(n_persons / (sizes * shares).sum() * 1.05) + 50
    kind = rng.choice(len(_TYPES), n_homes, p=shares)
    home = np.repeat(np.arange(n_homes), sizes[kind])[:n_persons]
    role = np.concatenate([np.arange(s) for s in sizes[kind]])[:n_persons]
    kind_of = kind[home]
    flat = [member for _, members in _TYPES for member in members]
    index = np.concatenate([[0], np.cumsum(sizes)[:-1]])[kind_of] + role
    relation = np.array([m[0] for m in flat])[index]
    is_male = rng.random(n_persons) < np.array([m[1] for m in flat])[index]
    low, high = np.array([m[2] for m in flat])[index], np.array([m[3] for m in flat])[index]
    age_days = ((low + rng.random(n_persons) * (high - low)) * 365.25).astype(int)
    birth_day = np.datetime64(epoch) - age_days.astype("timedelta64[D]")
    birth = np.char.replace(np.datetime_as_string(birth_day, unit="D"), "-", "")

    area = _ID_AREAS[rng.choice(len(_ID_AREAS), n_persons, p=[0.88, 0.04, 0.03, 0.02, 0.02, 0.01])]
    surname = names.surnames(rng, n_homes)[home]
    married_in = np.isin(relation, ["12", "52"])
    surname = np.where(married_in, names.surnames(rng, n_persons), surname)
    name = np.char.add(surname, names.given(rng, is_male))
    is_minority = rng.random(n_homes)[home] < 0.015
    name = np.where(is_minority, names.minority(rng, n_persons), name)

    town, village = rng.integers(1, 17, n_homes), rng.integers(1, 21, n_homes)
    address = addresses(town, village, rng.integers(1, 13, n_homes), rng.integers(1, 120, n_homes), rng.random(n_homes) < 0.3)
    registered = np.where(_is_elsewhere(rng, kind_of, relation), rng.integers(0, home[-1] + 1, n_persons), home)
    registered_relation = np.where(registered == home, relation, np.where(low < 20, "20", "97"))
    area_code = np.array([f"421022{99 + t}{199 + v}" for t, v in zip(town, village, strict=True)])

    phone = np.char.add("1", rng.integers(3 * 10**9, 10**10 - 1, n_persons).astype("U10"))
    home_phone = phone[np.searchsorted(home, home)]  # children and some elders give the head's telephone
    phone = np.where((age_days < 14 * 365) | ((age_days > 70 * 365) & (rng.random(n_persons) < 0.4)), home_phone, phone)
    return pl.DataFrame(
        {
            "person": np.arange(n_persons), "living_home": home, "registered_home": registered,
            "resident_id": resident_ids(area, birth, _sequence(area, birth, is_male)), "name": name,
            "sex": np.where(is_male, "1", "2"), "birth_date": birth_day,
            "ethnicity": np.where(is_minority, "05", np.where(rng.random(n_persons) < 0.04, "15", "01")),
            "marital_status": np.where(np.isin(relation, ["12", "52", "51"]), "20", np.where(age_days < 22 * 365, "10", "20")),
            "phone": phone, "address": address[home], "registered_address": address[registered],
            "area_code": area_code[home], "registered_area_code": area_code[registered],
            "living_relation": relation, "registered_relation": registered_relation,
            "death_date": np.full(n_persons, np.datetime64("NaT"), dtype="datetime64[D]"),
        }
    ).with_columns(changed_night=pl.lit(1, dtype=pl.Int32))  # fmt: skip


def _is_elsewhere(rng: np.random.Generator, kind: np.ndarray, relation: np.ndarray) -> np.ndarray:
    """Who is registered with another household than they live with: left-behind children, some elders and grown children."""
    chance = np.where((kind == _LEFT_BEHIND) & (relation == "41"), 0.8, 0.03)
    return np.asarray(rng.random(relation.size) < np.where(np.isin(relation, ["51", "52"]), 0.2, chance))

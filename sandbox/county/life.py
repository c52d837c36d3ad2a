"""The county lives: what happens to its people in one night."""

from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from sandbox.county import names, places, resident_ids
from sandbox.county.population import KINDS, NOBODY, related

_DAY = "datetime64[D]"
# A child without a registered name is entered as its mother's son or daughter.
_UNNAMED = ("之女", "之子")
_TWINS = 0.03


@cache
def shares() -> dict[str, float]:
    """Events of a night per person."""
    found: dict[str, float] = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
    return found


def advance(people: pl.DataFrame, seed: int, night: int, day: date) -> pl.DataFrame:
    """The people one night later; persons and homes keep their numbers for ever, new ones are added."""
    return _Night(people, seed, night, day).lived()


class _Night:
    """One night of the county: numbers and dates as arrays by person, texts as corrections to be written at the end."""

    def __init__(self, people: pl.DataFrame, seed: int, night: int, day: date) -> None:
        self.people, self.night, self.day = people, night, day
        self.rng = np.random.default_rng([seed, 2, night])
        self.a = {
            c: people[c].to_numpy().copy() for c in people.columns if people.schema[c] not in (pl.String, pl.Boolean) or c == "is_away"
        }
        self.is_male = people["sex"].to_numpy() == "1"
        self.texts: dict[str, dict[int, str | None]] = {}
        self.touched: list[np.ndarray] = []
        self.stirred: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}

    def lived(self) -> pl.DataFrame:
        """All events in their order."""
        self._registered()
        self._followed()
        self._died()
        self._departed()
        self._married()
        self._divorced()
        self._split()
        self._moved()
        self._earned()
        self._phoned()
        self._named()
        self._numbered()
        return self._born(self._written())

    # -- who ---------------------------------------------------------------------------------------------------------------------------

    def _count(self, event: str) -> int:
        return int(self._alive().sum() * shares()[event] + self.rng.random())

    def _alive(self) -> np.ndarray:
        return np.asarray(np.isnat(self.a["death_date"]) & np.isnat(self.a["left_date"]))

    def _age(self) -> np.ndarray:
        return np.asarray((np.datetime64(self.day) - self.a["birth_date"].astype(_DAY)).astype(int) / 365.25)

    def _some(self, which: np.ndarray, n: int) -> np.ndarray:
        """Up to `n` different persons of those marked, in no order."""
        found = np.flatnonzero(which)
        return self.rng.choice(found, min(n, found.size), replace=False)

    def _in_homes(self, column: str, homes: np.ndarray) -> np.ndarray:
        """Persons of the county who are in some homes."""
        chosen = np.zeros(int(self.a[column].max()) + 2, dtype=bool)
        chosen[homes] = True
        return np.flatnonzero(chosen[self.a[column]] & self._alive())

    def _children_of(self, parents: np.ndarray, at_home: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minor children who live with their parents: the children, and the place of the parent in `parents`."""
        at = np.full(self.a["person"].size + 1, NOBODY)
        at[parents] = np.arange(parents.size)
        by_mother, by_father = at[self.a["mother"]], at[self.a["father"]]
        place = np.where(by_mother >= 0, by_mother, by_father)
        child = np.flatnonzero((place >= 0) & (self._age() < 18) & self._alive())
        child = child[self.a["living_home"][child] == at_home[place[child]]]
        return child, place[child]

    # -- what --------------------------------------------------------------------------------------------------------------------------

    def _touch(self, who: np.ndarray) -> None:
        self.touched.append(who)

    def _stir(self, kind: str, homes: np.ndarray) -> None:
        """Relations in these homes are to be written anew."""
        self.stirred[kind].append(homes)

    def _write(self, column: str, who: np.ndarray, values: list[str | None]) -> None:
        self.texts.setdefault(column, {}).update(zip(who.tolist(), values, strict=True))

    def _new_homes(self, n: int, column: str = "living_home") -> np.ndarray:
        columns = ("registered_home", "pending_home") if column == "registered_home" else ("living_home", "dwelling_home", "origin_home")
        return np.arange(n) + max(int(self.a[c].max(initial=0)) for c in columns) + 1

    def _settle_in(self, who: np.ndarray, home: np.ndarray, place: np.ndarray) -> None:
        """Persons come to live in a home."""
        for kind in ("living", "dwelling"):
            self._stir(kind, np.concatenate([self.a[KINDS[kind]][who], home]))
            self.a[KINDS[kind]][who] = home
        self._place(who, place)
        first = self.a["moved_night"][who] == 0
        self.a["moved_night"][who] = np.where(first, self.night, self.a["moved_night"][who])
        self._touch(who)

    def _place(self, who: np.ndarray, place: np.ndarray) -> None:
        stays = self.a["is_away"][who]
        self.a["former_place"][who] = np.where(stays, self.a["former_place"][who], self.a["place"][who])
        self.a["place"][who] = np.where(stays, self.a["place"][who], place)

    def _somewhere(self, n: int) -> np.ndarray:
        return places.anywhere(self.rng, n, self.a["person"].size // 3)

    def _will_register(self, who: np.ndarray, home: np.ndarray, share: float) -> None:
        """Registration follows some nights later, for some never."""
        follows = self.rng.random(who.size) < share
        self.a["pending_home"][who[follows]] = home[follows]
        self.a["pending_night"][who[follows]] = self.night + self.rng.integers(2, 40, int(follows.sum()))

    def _registered(self) -> None:
        """Children born before get their name and number."""
        who = np.flatnonzero(self.a["registered_night"] == self.night)
        if not who.size:
            return
        male = self.is_male[who]
        born = self.a["birth_date"][who].astype(_DAY)
        surname = self.people["surname"].gather(who).to_numpy()
        parent = np.where(self.a["father"][who] >= 0, self.a["father"][who], self.a["mother"][who])
        parent_name = self.people["name"].gather(parent).to_numpy().astype("U40")
        name = np.strings.add(surname.astype("U40"), names.given(self.rng, male, np.full(who.size, self.day.year)))
        dotted = names.minority(self.rng, male, parent_name)
        name = np.where(surname == "", dotted, name)
        digits = resident_ids.digits_of_date(born)
        area = np.full(who.size, resident_ids.AREAS[0])
        known = self.people.filter(pl.col("resident_id").is_not_null(), pl.col("birth_date") > date(self.day.year - 1, 1, 1))
        counted = known.group_by(pl.col("resident_id").str.slice(0, 14).alias("d"), pl.col("sex").alias("s")).len()
        mine = pl.DataFrame({"d": np.strings.add(area, digits), "s": np.where(male, "1", "2")})
        taken = mine.join(counted, on=["d", "s"], how="left", maintain_order="left")["len"].fill_null(0).to_numpy().astype(int)
        number = resident_ids.numbers(area, digits, resident_ids.sequences(area, digits, male, taken))
        self._write("name", who, name.tolist())
        for column in ("resident_id", "issued_id"):
            self._write(column, who, number.tolist())
        self._touch(who)

    def _followed(self) -> None:
        """Registrations that were due after a marriage, a divorce or a split."""
        who = np.flatnonzero((self.a["pending_night"] == self.night) & self._alive())
        if not who.size:
            return
        home = self.a["pending_home"][who]
        first = np.full(int(max(home.max(), self.a["registered_home"].max())) + 1, NOBODY)
        first[self.a["registered_home"][::-1]] = self.a["person"][::-1]
        host = first[home]
        self._stir("registered", np.concatenate([self.a["registered_home"][who], home]))
        self.a["registered_place"][who] = np.where(host >= 0, self.a["registered_place"][host], np.maximum(self.a["place"][who], 0))
        self.a["registered_home"][who] = home
        self.a["pending_night"][who], self.a["pending_home"][who] = 0, NOBODY
        self._touch(who)

    def _died(self) -> None:
        n = self._count("death")
        # The oldest of a dozen: the chance of dying grows steeply with age.
        drawn = self.rng.choice(np.flatnonzero(self._alive()), (n, 12))
        who = np.unique(drawn[np.arange(n), self._age()[drawn].argmax(axis=1)])
        self.a["death_date"][who] = np.datetime64(self.day) - 1
        self._part(who, "30")
        self._touch(who)
        for kind, column in KINDS.items():
            self._stir(kind, self.a[column][who])

    def _part(self, who: np.ndarray, status: str) -> None:
        """The spouses of some are without them."""
        left = self.a["spouse"][who]
        left = left[left >= 0]
        left = left[np.isnat(self.a["death_date"][left])]
        self.a["spouse"][left] = NOBODY
        self._write("marital_status", left, [status] * left.size)
        self._touch(left)

    def _departed(self) -> None:
        who = self._in_homes("living_home", self.a["living_home"][self._some(self._alive(), self._count("departure"))])
        self.a["left_date"][who] = np.datetime64(self.day)
        self._touch(who)
        for kind, column in KINDS.items():
            self._stir(kind, self.a[column][who])

    def _married(self) -> None:
        age, free = self._age(), self._alive() & (self.a["spouse"] < 0) & ~self.a["is_away"]
        n = self._count("marriage")
        men = self._some(free & self.is_male & (age > 22) & (age < 42), n)
        women = self._some(free & ~self.is_male & (age > 20) & (age < 40), n)
        n = min(men.size, women.size)
        men, women = (x[:n][np.argsort(age[x[:n]], kind="stable")] for x in (men, women))
        kin = (self.a["living_home"][men] == self.a["living_home"][women]) | (
            (self.a["mother"][men] == self.a["mother"][women]) & (self.a["mother"][men] >= 0)
        )
        men, women = men[~kin], women[~kin]
        n = men.size
        if not n:
            return
        self.a["spouse"][men], self.a["spouse"][women] = women, men
        both = np.concatenate([men, women])
        known = self.people["marital_status"].gather(both).to_list()
        self._write("marital_status", both, ["20" if status == "10" else "22" for status in known])
        own_home = self.rng.random(n) < 0.6
        old_homes = self.a["living_home"][men].copy(), self.a["living_home"][women].copy()
        home = np.where(own_home, self._new_homes(n), old_homes[0])
        place = np.where(own_home, self._somewhere(n), self.a["place"][men])
        her_children, her_place = self._children_of(women, old_homes[1])
        his_children, his_place = self._children_of(men, old_homes[0])
        goes = own_home[his_place]
        self._settle_in(men[own_home], home[own_home], place[own_home])
        self._settle_in(women, home, place)
        self._settle_in(her_children, home[her_place], place[her_place])
        self._settle_in(his_children[goes], home[his_place[goes]], place[his_place[goes]])
        self._will_register(women, self.a["registered_home"][men], 0.7)
        self._touch(men)
        self._stir("living", home)

    def _divorced(self) -> None:
        together = self._alive() & self.is_male & (self.a["spouse"] >= 0)
        men = self._some(together, self._count("divorce"))
        women = self.a["spouse"][men]
        fine = np.isnat(self.a["death_date"][women]) & np.isnat(self.a["left_date"][women])
        men, women = men[fine], women[fine]
        if not men.size:
            return
        both = np.concatenate([men, women])
        self.a["spouse"][both] = NOBODY
        self._write("marital_status", both, ["40"] * both.size)
        her_going = self.rng.random(men.size) < 0.7
        goes = np.where(her_going, women, men)
        old = self.a["living_home"][goes].copy()
        mother = self.a["mother"][goes]
        back = (mother >= 0) & (self.rng.random(goes.size) < 0.5)
        back &= self.a["living_home"][mother] != old
        back &= np.isnat(self.a["death_date"][mother]) & np.isnat(self.a["left_date"][mother])
        home = np.where(back, self.a["living_home"][mother], self._new_homes(goes.size))
        place = np.where(back, self.a["place"][mother], self._somewhere(goes.size))
        children, of = self._children_of(goes, old)
        along = self.rng.random(children.size) < 0.5
        children, of = children[along], of[along]
        register = np.where(back, self.a["registered_home"][mother], self._new_homes(goes.size, "registered_home"))
        self._settle_in(goes, home, place)
        self._settle_in(children, home[of], place[of])
        self._will_register(goes, register, 0.5)
        self._touch(both)
        for kind in ("living", "dwelling"):
            self._stir(kind, old)
        self._stir("registered", self.a["registered_home"][both])

    def _split(self) -> None:
        """Grown sons leave the home they share with a parent, with wife and children."""
        father, mother, home = self.a["father"], self.a["mother"], self.a["living_home"]
        with_parent = ((father >= 0) & (home[father] == home)) | ((mother >= 0) & (home[mother] == home))
        men = self._some(self._alive() & self.is_male & (self.a["spouse"] >= 0) & with_parent, self._count("split"))
        if not men.size:
            return
        women, old = self.a["spouse"][men], home[men].copy()
        new, place = self._new_homes(men.size), self._somewhere(men.size)
        children, of = self._children_of(men, old)
        together = home[women] == old
        self._settle_in(men, new, place)
        self._settle_in(women[together], new[together], place[together])
        self._settle_in(children, new[of], place[of])
        register = self._new_homes(men.size, "registered_home")
        due = self.rng.random(men.size) < 0.6
        night = self.night + self.rng.integers(2, 40, men.size)
        for who, index in ((men, np.arange(men.size)), (women[together], np.flatnonzero(together)), (children, of)):
            follows = due[index]
            self.a["pending_home"][who[follows]] = register[index[follows]]
            self.a["pending_night"][who[follows]] = night[index[follows]]

    def _moved(self) -> None:
        homes = np.unique(self.a["dwelling_home"][self._some(self._alive() & ~self.a["is_away"], self._count("move"))])
        who = self._in_homes("dwelling_home", homes)
        place = self._somewhere(homes.size)[np.searchsorted(homes, self.a["dwelling_home"][who])]
        self._place(who, place)
        self._touch(who[~self.a["is_away"][who]])

    def _earned(self) -> None:
        age = self._age()
        who = self._some(self._alive() & (age > 18) & (age < 62), self._count("income"))
        lost = self.rng.random(who.size) < 0.4
        wage = np.round(np.exp(self.rng.normal(10.1, 0.5, who.size)), -1).astype(np.int32)
        self.a["income_yuan"][who] = np.where(lost, 0, wage)
        self._touch(who)

    def _phoned(self) -> None:
        who = self._some(self._alive() & (self._age() > 12), self._count("phone"))
        self.a["former_phone"][who] = self.a["phone"][who]
        self.a["phone"][who] = self.rng.integers(13 * 10**9, 20 * 10**9 - 1, who.size)
        self._touch(who)

    def _named(self) -> None:
        """Names are corrected: another given name."""
        who = self._some(
            self._alive() & (self.people["surname"].to_numpy() != "") & (self.a["registered_night"] <= self.night),
            self._count("name_corrected"),
        )
        surname = self.people["surname"].gather(who).to_numpy().astype("U40")
        born = self.a["birth_date"][who].astype("datetime64[Y]").astype(int) + 1970
        self._write("former_name", who, self.people["name"].gather(who).to_list())
        self._write("name", who, np.strings.add(surname, names.given(self.rng, self.is_male[who], born)).tolist())
        self._touch(who)

    def _numbered(self) -> None:
        """Numbers are corrected: another sequence, or another day of birth; the person is the same."""
        number = self.people["resident_id"]
        who = self._some(self._alive() & (number.str.len_chars() == 18).fill_null(False).to_numpy(), self._count("number_corrected"))
        who = who[~np.isin(who, np.fromiter(self.texts.get("resident_id", {}), dtype=np.int64))]
        if not who.size:
            return
        old = number.gather(who).to_numpy().astype("U18")
        is_day = self.rng.random(who.size) < 0.4
        shift = self.rng.integers(1, 20, who.size).astype("timedelta64[D]")
        born = self.a["birth_date"][who].astype(_DAY)
        born = np.where(is_day, born - shift, born)
        sequence = np.strings.slice(old, 14, 17).astype(int)
        new = resident_ids.numbers(
            np.strings.slice(old, 0, 6), resident_ids.digits_of_date(born), np.where(is_day, sequence, (sequence + 500) % 1000)
        )
        free = ~(pl.Series(new).is_in(number.implode()) | pl.Series(new).is_duplicated()).to_numpy()
        who, new, born = who[free], new[free], born[free]
        self.a["birth_date"][who] = born.astype(self.a["birth_date"].dtype)
        self._write("resident_id", who, new.tolist())
        self._touch(who)

    # -- written -----------------------------------------------------------------------------------------------------------------------

    def _written(self) -> pl.DataFrame:
        touched = np.concatenate(self.touched)
        self.a["changed_night"][touched] = self.night
        people = self.people.with_columns(pl.Series(c, v).cast(self.people.schema[c]) for c, v in self.a.items())
        for column, changes in self.texts.items():
            who = np.fromiter(changes, dtype=np.int64)
            people = people.with_columns(people[column].scatter(who, pl.Series(list(changes.values()), dtype=pl.String)))
        only = {}
        for kind, column in KINDS.items():
            homes = np.concatenate(self.stirred[kind]) if self.stirred[kind] else np.array([], dtype=np.int64)
            only[kind] = self._in_homes(column, homes)
        return related(people, self.day, only)

    def _born(self, people: pl.DataFrame) -> pl.DataFrame:
        """Children; they are registered, named and numbered some nights later."""
        age = self._age()
        mothers = self._some(self._alive() & ~self.is_male & (self.a["spouse"] >= 0) & (age > 20) & (age < 43), self._count("birth"))
        n = mothers.size
        if not n:
            return people
        times = np.where(self.rng.random(n) < _TWINS, 2, 1)
        born = np.datetime64(self.day) - self.rng.integers(0, 8, n).astype("timedelta64[D]")
        registered = self.night + self.rng.integers(3, 45, n)
        mothers, born, registered = (np.repeat(x, times) for x in (mothers, born, registered))
        n = mothers.size
        fathers = self.a["spouse"][mothers]
        is_male = self.rng.random(n) < 0.52
        of_mother = people[mothers]
        surname = people["surname"].gather(fathers)
        unnamed = np.where(is_male, _UNNAMED[1], _UNNAMED[0])
        children = of_mother.with_columns(
            person=pl.Series(np.arange(people.height, people.height + n)),
            father=pl.Series(fathers),
            mother=pl.Series(mothers),
            spouse=pl.lit(NOBODY, dtype=pl.Int64),
            origin_home=pl.col("living_home"),
            resident_id=pl.lit(None, dtype=pl.String),
            issued_id=pl.lit(None, dtype=pl.String),
            name=pl.col("name") + pl.Series(unnamed),
            former_name=pl.col("name") + pl.Series(unnamed),
            surname=surname,
            sex=pl.Series(np.where(is_male, "1", "2")),
            birth_date=pl.Series(born).cast(people.schema["birth_date"]),
            ethnicity=pl.Series(people["ethnicity"].gather(fathers)),
            marital_status=pl.lit("10"),
            income_yuan=pl.lit(0, dtype=pl.Int32),
            is_away=pl.lit(False),
            born_night=pl.lit(self.night, dtype=pl.Int32),
            registered_night=pl.Series(registered).cast(pl.Int32),
            moved_night=pl.lit(0, dtype=pl.Int32),
            pending_home=pl.lit(NOBODY, dtype=pl.Int64),
            pending_night=pl.lit(0, dtype=pl.Int32),
            changed_night=pl.lit(self.night, dtype=pl.Int32),
        )
        everybody = pl.concat([people, children.select(people.columns)])
        new = np.arange(people.height, everybody.height)
        return related(everybody, self.day, dict.fromkeys(KINDS, new))

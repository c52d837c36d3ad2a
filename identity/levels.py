"""How far two values of a field agree: each comparison is an ordered list of levels, from 1 = the same to the last = different.

Level 0 is always "one of the two is missing". Levels are what the model weighs and what an explanation names.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One level of agreement, in words."""

    zh: str
    en: str


def _levels(*words: tuple[str, str]) -> tuple[Level, ...]:
    return (Level("缺失", "missing"), *(Level(zh, en) for zh, en in words))


LEVELS: dict[str, tuple[Level, ...]] = {
    "number": _levels(
        ("证件号码有效且相同", "the same valid number"),
        ("证件号码相同（校验不通过或无校验位）", "the same number, without a valid check"),
        ("证件号码只差一处（错一位、换位或尾数被电子表格抹零）", "numbers one slip apart"),
        ("证件号码仅出生日期段或两处不同", "numbers that differ in the birth date or in two places"),
        ("证件号码不同，其一无效或不可信", "different numbers, one of them invalid or not believed"),
        ("两个有效号码，同地同日、顺序码不同", "two valid numbers of one place and day"),
        ("两个不同的有效号码", "two different valid numbers"),
    ),
    "surname": _levels(
        ("姓相同", "the same family name"),
        ("姓同音或只差一字母", "family names that sound alike"),
        ("姓与名颠倒", "family and given name swapped"),
        ("姓相近", "similar family names"),
        ("姓不同", "different family names"),
    ),
    "given": _levels(
        ("名相同", "the same given name"),
        ("名同音或只差一字母", "given names that sound alike"),
        ("名相容（缺字、截短、形近、小名、首字母）", "given names that may be one (lost, cut or similar characters, nickname, initial)"),
        ("名有一字相同或相近", "given names that share a character or are similar"),
        ("名不同", "different given names"),
    ),
    "birth": _levels(
        ("出生日期相同", "the same birth date"),
        ("同年而一方为1月1日，或月日颠倒，或农历公历之别", "the same year with a default day, day and month swapped, or lunar and solar"),
        ("出生日期只差一位数字", "birth dates one digit apart"),
        ("出生日期相近（年月日有两项相同，或相差不到一月）", "birth dates that agree in two of year, month and day, or lie within a month"),
        ("出生日期相差不到一年", "birth dates less than a year apart"),
        ("出生日期不同", "different birth dates"),
    ),
    "sex": _levels(("性别相同", "the same sex"), ("性别不同", "different sexes")),
    "phone": _levels(("电话相同", "the same telephone"), ("电话只差一位", "telephones one digit apart"), ("电话不同", "different telephones")),
    "address": _levels(
        ("地址相同", "the same address"),
        ("地址基本相同", "nearly the same address"),
        ("门牌号相同而地名不同", "the same door numbers in a place of another name"),
        ("同村同街", "the same village or street"),
        ("地址不同", "different addresses"),
    ),
    "guardian": _levels(("监护人相同", "the same guardian"), ("监护人同音", "guardians that sound alike"), ("监护人不同", "different guardians")),
    "area_code": _levels(("区划代码相同", "the same area code"), ("同一乡镇", "the same township"), ("区划代码不同", "different area codes")),
    "postcode": _levels(("邮编相同", "the same postcode"), ("邮编相近", "postcodes one slip apart"), ("邮编不同", "different postcodes")),
    "occupation": _levels(("职业相同", "the same occupation"), ("职业相近", "similar occupations"), ("职业不同", "different occupations")),
    "birth_place": _levels(("出生地相同", "the same birth place"), ("出生地相近", "similar birth places"), ("出生地不同", "different birth places")),
    "home": _levels(
        ("有共同的家庭成员", "local households that share other members"),
        ("同一来源的同一户内", "two records of one household at one source"),
        ("同一来源的不同户内", "two records of different households at one source"),
    ),
}  # fmt: skip
FIELDS = tuple(LEVELS)

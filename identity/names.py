"""Names in one spelling: folded, simplified, divided into family and given name, and as they sound."""

import polars as pl

from identity import characters
from identity.characters import LOST

# Signs that stand for a character the agency's system could not store (GB 18030 gaps, scanners, hand-written forms).
LOST_SIGNS = r"[?？□〇�\*＊_○]"
# The dots of transcribed names: U+00B7 is the standard one, systems write many others or none.
_DOTS_AND_SPACES = r"[\s·•‧・∙⋅.．．'’`\-，,。]"
_COMPOUND_SURNAMES = r"^(欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|司徒|令狐|夏侯|端木|长孙|宇文|轩辕|南宫|百里|东郭|呼延|闻人|申屠|公冶|澹台|濮阳|淳于|太史|独孤|拓跋|赫连|钟离)"
_HAN_NAME = r"^[\u3400-\u9fff\x{20000}-\x{3134f}□]+$"
# From here on a name in Chinese characters is a transcribed one, without a family name to divide off.
_TRANSCRIBED_FROM = 5
_TITLES = r"\b(MR|MRS|MS|MISS|DR|PROF|JR|SR)\b\.?"


def folded(name: pl.Expr) -> pl.Expr:
    """Names without width, case, inner spaces, titles and dots; a lost character is always □; null if nothing is left."""
    text = name.str.normalize("NFKC").str.to_uppercase().str.replace_all(_TITLES, "")
    text = text.str.replace_all(LOST_SIGNS, LOST).str.replace_all(_DOTS_AND_SPACES, "")
    # A code, a private-use character or pinyin in the midst of a Chinese name stands for a character that could not be typed.
    is_han = text.str.contains(r"[\u3400-\u9fff]")
    text = pl.when(is_han).then(text.str.replace_all(r"[^\u3400-\u9fff\x{20000}-\x{3134f}□]+", LOST)).otherwise(text)
    return pl.when(text.str.contains(r"[^□\d]")).then(text)


def _last_word(name: pl.Expr) -> pl.Expr:
    return name.str.normalize("NFKC").str.strip_chars().str.extract(r"\s(\S+)$")


def divide(name: pl.Series, given: pl.Series, surname: pl.Series) -> pl.DataFrame:
    """Family and given names of each row.

    Args:
        name: whole names; null = missing or told in parts.
        given: given names, where told apart.
        surname: family names, where told apart.

    Returns:
        ``full``, ``surname``, ``given`` (simplified characters, upper case) and ``full_sound``, ``surname_sound``, ``given_sound`` (pinyin
        without tone for Chinese characters, the letters themselves else). A transcribed name is all given name. Null = missing.
    """
    raw = pl.DataFrame({"name": name.cast(pl.String), "given": given.cast(pl.String), "surname": surname.cast(pl.String)})
    known = raw.unique()
    found = known.select(
        "name", "given", "surname",
        whole=folded(pl.col("name")), g=folded(pl.col("given")), s=folded(pl.col("surname")), last=folded(_last_word(pl.col("name"))),
    )  # fmt: skip
    letters = characters.distinct(pl.concat([found["whole"], found["g"], found["s"]]))
    simple = characters.simplified(letters)
    if simple:
        found = found.with_columns(pl.col("whole", "g", "s", "last").str.replace_many(simple))
    is_han = pl.col("whole").str.contains(_HAN_NAME)
    is_divided = is_han & (pl.col("whole").str.len_chars() < _TRANSCRIBED_FROM) & ~pl.col("name").str.contains(r"[·•‧・∙⋅]")
    own = pl.coalesce(pl.col("whole").str.extract(_COMPOUND_SURNAMES), pl.col("whole").str.slice(0, 1))
    divided = (
        pl.when(is_divided & (pl.col("whole").str.len_chars() > 1))
        .then(own)
        .when(~is_han & (pl.col("last") != pl.col("whole")))
        .then("last")
    )
    found = found.with_columns(own=divided)
    start = pl.when(is_han & pl.col("own").is_not_null()).then(pl.col("whole").str.slice(pl.col("own").str.len_chars()))
    rest = start.when(pl.col("own").is_not_null()).then(pl.col("whole").str.strip_suffix(pl.col("own"))).otherwise("whole")
    found = found.select(
        "name", "given", "surname",
        sur=pl.coalesce("s", "own"), giv=pl.coalesce("g", rest),
    ).with_columns(
        full=pl.when(pl.col("sur").is_not_null() | pl.col("giv").is_not_null()).then(pl.concat_str(pl.col("sur").fill_null(""), pl.col("giv").fill_null(""))),
    )  # fmt: skip
    letters = characters.distinct(pl.concat([found["full"]]))
    sound, surname_sound = characters.sounds(letters), characters.sounds(letters, as_surname=True)
    found = found.with_columns(
        sur_sound=pl.col("sur").str.replace_many(surname_sound), giv_sound=pl.col("giv").str.replace_many(sound)
    ).with_columns(
        full_sound=pl.when(pl.col("full").is_not_null()).then(
            pl.concat_str(pl.col("sur_sound").fill_null(""), pl.lit("|"), pl.col("giv_sound").fill_null(""))
        )
    )
    joined = raw.join(found, on=["name", "given", "surname"], how="left", nulls_equal=True, maintain_order="left")
    return joined.select(
        "full", "full_sound", surname="sur", given="giv", surname_sound="sur_sound", given_sound="giv_sound"
    )  # fmt: skip

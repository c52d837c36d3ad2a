"""Addresses taken apart: the place by name, and the door by its numbers."""

import polars as pl

from identity import characters

# Province, prefecture and county in front of an address: agencies leave them out as they like.
ADMINISTRATIVE = r"^(?:[^省\d]{2,4}省|[^自\d]{2,6}自治区)?(?:[^市\d]{2,5}市|[^州\d]{2,8}州)?(?:[^县区市镇乡村街路\d]{1,6}[县区市])?"
_DOOR = r"(\d+)(?:号院|号楼|号|栋|幢|座|单元|室|户|弄|组|社|队|屯|楼|层|门)?"
# Village names are worn by reform (村→社区, 乡→镇) while people stay where they are.
_KINDS = r"(?:村民委员会|居民委员会|村委会|居委会|社区|村|居|街道办事处|街道|镇|乡)"
_NUMERALS = {"一": "1", "二": "2", "三": "3", "四": "4", "五": "5", "六": "6", "七": "7", "八": "8", "九": "9"}
_ABBREVIATIONS = {
    r"\bSTREET\b": "ST", r"\bROAD\b": "RD", r"\bAVENUE\b": "AV", r"\bPLACE\b": "PL", r"\bCRESCENT\b": "CR", r"\bCOURT\b": "CT",
    r"\bDRIVE\b": "DR", r"\bCLOSE\b": "CL", r"\bCIRCUIT\b": "CCT", r"\bPARADE\b": "PDE", r"\bTERRACE\b": "TCE",
}  # fmt: skip


def take_apart(address: pl.Series) -> pl.DataFrame:
    """Addresses as they are compared.

    Returns:
        One row a row: ``whole`` (folded, without what stands above the township), ``place`` (its words without door numbers and kinds
        of place), ``door`` (the numbers of a Chinese address from group to room, in order; null for fewer than two). Null = missing.
    """
    raw = pl.DataFrame({"raw": address.cast(pl.String)})
    found = raw.unique().with_columns(text=pl.col("raw").str.normalize("NFKC").str.to_uppercase().str.strip_chars())
    simple = characters.simplified(characters.distinct(found["text"]))
    if simple:
        found = found.with_columns(pl.col("text").str.replace_many(simple))
    is_han = pl.col("text").str.contains(r"[\u4e00-\u9fff]")
    han = pl.col("text").str.replace_all(r"[\s,，。.\-—_#]", "").str.replace(ADMINISTRATIVE, "")
    han = han.str.replace_all(r"第([0-9一二三四五六七八九十]+)", "$1").str.replace_many(_NUMERALS)
    latin = pl.col("text").str.replace_all(r"[^\w\s]", " ")
    for long, short in _ABBREVIATIONS.items():
        latin = latin.str.replace_all(long, short)
    latin = latin.str.replace_all(r"\s+", " ").str.strip_chars()
    found = found.with_columns(whole=pl.when(is_han).then(han).otherwise(latin), is_han=is_han)
    found = found.with_columns(whole=pl.when(pl.col("whole").str.len_chars() >= 3).then("whole"))
    # What follows the village is the door; what stands up to it is the place.
    split = r"^(.*(?:村民委员会|居民委员会|村委会|居委会|社区|村|居|路|街|巷|大道))(.*)$"
    place = pl.coalesce(pl.col("whole").str.extract(split, 1), pl.col("whole").str.replace_all(_DOOR, ""))
    tail = pl.coalesce(pl.col("whole").str.extract(split, 2), pl.col("whole"))
    numbers = tail.str.extract_all(r"\d+")
    found = found.with_columns(
        place=pl.when("is_han").then(place.str.replace_all(_KINDS, "/")),
        door=pl.when(pl.col("is_han") & (numbers.list.len() >= 2)).then(numbers.list.join(".")),
    )
    return raw.join(found.select("raw", "whole", "place", "door"), on="raw", how="left", nulls_equal=True, maintain_order="left").drop(
        "raw"
    )

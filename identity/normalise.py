"""Bring the fields that decide identity to one spelling, so that equal things compare equal."""

import polars as pl

from identity import resident_id

# Concepts read, and the column each is looked up under in the table handed over.
CONCEPTS = ("person.resident_id", "person.name", "person.birth_date", "person.phone", "person.address")

# A character the agency's system could not store: such a name agrees with nothing for sure.
_LOST = r"[?？□〇�\*＊]"
# Province, prefecture and county in front of an address: agencies leave them out as they like.
_ADMINISTRATIVE = r"^(?:[^省]{2,4}省|[^自]{2,6}自治区)?(?:[^市]{2,5}市|[^州]{2,8}州)?(?:[^县区市镇乡村街路]{1,6}[县区])?"


def names(name: pl.Expr) -> pl.Expr:
    """Names without width, case, inner spaces and the many dots of transcribed names; null if a character was lost."""
    folded = name.str.normalize("NFKC").str.replace_all(r"[\s·•‧・∙⋅.．]", "").str.to_uppercase()
    return pl.when(folded.str.contains(_LOST) | (folded.str.len_chars() == 0)).then(None).otherwise(folded)


def phones(phone: pl.Expr) -> pl.Expr:
    """Digits of a telephone number without country code; null if fewer than seven."""
    digits = phone.str.normalize("NFKC").str.replace_all(r"\D", "").str.replace(r"^(?:00)?86(1\d{10})$", "$1")
    return pl.when(digits.str.len_chars() >= 7).then(digits)


def addresses(address: pl.Expr) -> pl.Expr:
    """Addresses without width, spaces and the administrative names above the township; null if nothing is left."""
    folded = address.str.normalize("NFKC").str.replace_all(r"[\s,，。.]", "").str.replace(_ADMINISTRATIVE, "")
    return pl.when(folded.str.len_chars() >= 4).then(folded)


def normalise(records: pl.DataFrame) -> pl.DataFrame:
    """The keys identity is judged by, one row per row of `records`, in its order.

    Args:
        records: any of the columns named in :data:`CONCEPTS`; a missing column is all null.

    Returns:
        Columns ``_id_key`` (18 characters, valid), ``_id_birth_date`` (the date inside it), ``_name_key``, ``_birth_date``, ``_phone_key``, ``_address_key``; null =
        missing or not usable.
    """
    blank = pl.lit(None, dtype=pl.String)
    columns = {c: pl.col(c) if c in records.columns else blank for c in CONCEPTS}
    # Lazily, so that a part of an expression that stands in it twice is computed once.
    found = records.lazy().select(
        _id_key=columns["person.resident_id"].cast(pl.String),
        _name_key=names(columns["person.name"].cast(pl.String)),
        _birth_date=columns["person.birth_date"].cast(pl.Date),
        _phone_key=phones(columns["person.phone"].cast(pl.String)),
        _address_key=addresses(columns["person.address"].cast(pl.String)),
    )
    keys = found.collect()
    if keys.height < records.height:  # nothing but literals was selected
        keys = keys.select(pl.all().repeat_by(records.height).list.explode())
    keys = keys.with_columns(resident_id.normalise(keys["_id_key"]))
    return keys.with_columns(_id_birth_date=resident_id.birth_dates(pl.col("_id_key")))

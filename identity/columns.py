"""Columns of a table of records: `source` and `record_id` name a record, the others are evidence."""

COLUMNS = (
    "source", "record_id", "resident_id", "name", "given_name", "surname", "sex", "birth_date", "address", "area_code", "postcode",
    "phone", "household_id_local", "relation", "guardian_name", "occupation", "birth_place", "updated_at", "registered_household_id_local",
)  # fmt: skip

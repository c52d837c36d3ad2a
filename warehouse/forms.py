"""Less than the clear value: the forms in which a column may be told, as columns of their own.

Each is a virtual generated column (PostgreSQL 18): it costs nothing until it is read, cannot disagree with its value, and is
granted apart from it. So a department that may see a masked number reads a column that holds no more than the mask.
"""

from enum import StrEnum


class Form(StrEnum):
    """How a value may be told, besides in clear."""

    MASKED = "masked"  # part of the value, the rest covered
    DERIVED = "derived"  # something coarser: a year, an area above, a band
    YES_NO = "yes_no"  # whether a value is known at all


# Of the golden values. A number shows four and two signs: six and four would tell one person of a village from another.
PERSON_COLUMNS: dict[str, dict[Form, str]] = {
    "resident_id": {
        Form.MASKED: "left(resident_id, 4) || repeat('*', greatest(char_length(resident_id) - 6, 1)) || right(resident_id, 2)",
        Form.YES_NO: "resident_id IS NOT NULL",
    },
    "name": {Form.MASKED: "left(name, 1) || repeat('*', greatest(char_length(name) - 1, 1))"},
    "sex": {},
    "birth_date": {Form.DERIVED: "extract(year FROM birth_date)::integer"},
    "phone": {
        Form.MASKED: "CASE WHEN char_length(phone) > 7 THEN left(phone, 3) || repeat('*', char_length(phone) - 7) || right(phone, 4)"
        " ELSE repeat('*', char_length(phone)) END",
        Form.YES_NO: "phone IS NOT NULL",
    },
    "address": {Form.MASKED: "left(address, 6) || '***'"},
    "area_code": {Form.DERIVED: "left(area_code, 6)"},
}
_TYPES = {
    "person": {
        "resident_id": "text", "name": "text", "sex": "text", "birth_date": "date", "phone": "text", "address": "text", "area_code": "text",
    }
}  # fmt: skip


def _kind(physical_type: str) -> str:
    base = physical_type.split("(")[0]
    if base in ("bigint", "integer", "smallint", "numeric"):
        return "number"
    return {"date": "date", "timestamptz": "date", "timestamp": "date", "boolean": "boolean"}.get(base, "text")


def forms_of_type(physical_type: str) -> frozenset[Form]:
    """The forms in which an agency's column of a PostgreSQL type may be told besides in clear."""
    return {
        "text": frozenset({Form.MASKED, Form.YES_NO}),
        "number": frozenset({Form.DERIVED, Form.YES_NO}),
        "date": frozenset({Form.DERIVED, Form.YES_NO}),
        "boolean": frozenset({Form.YES_NO}),
    }[_kind(physical_type)]


def column_name(column: str, form: Form) -> str:
    """Name of the generated column of a form."""
    return f"{column}__{form}"


def definition(column: str, form: Form, physical_type: str | None) -> tuple[str, str]:
    """PostgreSQL type and expression of the generated column.

    Args:
        column: the column it is made of.
        form: which form.
        physical_type: of an agency's column; None = a golden value's.
    """
    if physical_type is None:
        expression = PERSON_COLUMNS[column][form]
        kind = "boolean" if form is Form.YES_NO else "integer" if _TYPES["person"][column] == "date" else "text"
        return kind, expression
    if form is Form.YES_NO:
        return "boolean", f'"{column}" IS NOT NULL'
    if form is Form.MASKED:
        return "text", f"left(\"{column}\", 1) || '***'"
    if _kind(physical_type) == "date":
        zoned = " AT TIME ZONE 'Asia/Shanghai'" if physical_type == "timestamptz" else ""
        return "integer", f'extract(year FROM "{column}"{zoned})::integer'
    # A band of a thousand, by its lower end.
    return "bigint", f'(floor("{column}" / 1000.0) * 1000)::bigint'

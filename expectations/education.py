"""Cross-field rules of the education bureau."""

import great_expectations.expectations as gxe

from expectations.rules import Rule

RULES = [
    Rule(
        "enrolled_after_birth",
        "row",
        "error",
        "enrolled_date",
        "入学日期不早于出生日期",
        "nobody enrols before birth",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="enrolled_date", column_B="birth_date", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        lambda t: t.c.enrolled_date < t.c.birth_date,
    ),
]

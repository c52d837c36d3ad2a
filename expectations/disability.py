"""Cross-field rules of the disabled persons' federation."""

import great_expectations.expectations as gxe

from expectations.rules import Rule

RULES = [
    Rule(
        "certificate_dates_in_order",
        "row",
        "error",
        "expires_date",
        "有效期不早于发证日期",
        "a certificate does not end before it is issued",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="expires_date", column_B="issued_date", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        lambda t: t.c.expires_date < t.c.issued_date,
    ),
    Rule(
        "issued_after_birth",
        "row",
        "error",
        "issued_date",
        "发证日期不早于出生日期",
        "a certificate is not issued before birth",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="issued_date", column_B="birth_date", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        lambda t: t.c.issued_date < t.c.birth_date,
    ),
]

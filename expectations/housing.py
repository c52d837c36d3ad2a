"""Cross-field rules of the housing bureau."""

import great_expectations.expectations as gxe

from expectations.rules import Rule

RULES = [
    Rule(
        "contract_dates_in_order",
        "row",
        "error",
        "contract_end_date",
        "合同截止不早于起始",
        "a contract does not end before it starts",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="contract_end_date", column_B="contract_start_date", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        lambda t: t.c.contract_end_date < t.c.contract_start_date,
    ),
]

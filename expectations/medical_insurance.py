"""Cross-field rules of the medical insurance bureau."""

import great_expectations.expectations as gxe

from expectations.rules import Rule

RULES = [
    Rule(
        "fees_cover_fund",
        "row",
        "error",
        "medical_fee_yuan",
        "医疗费总额不小于基金支付",
        "funds pay no more than the fees",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="medical_fee_yuan", column_B="fund_paid_yuan", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        lambda t: t.c.medical_fee_yuan < t.c.fund_paid_yuan,
    ),
]

"""Cross-field rules of the medical insurance bureau."""

import great_expectations.expectations as gxe
import sqlalchemy as sa
from great_expectations.expectations.row_conditions import Column

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
    Rule(
        "ended_after_enrolled",
        "row",
        "error",
        "ended_date",
        "终止日期不早于参保日期",
        "an enrolment does not end before it starts",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="ended_date", column_B="enrolled_date", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        lambda t: t.c.ended_date < t.c.enrolled_date,
    ),
    Rule(
        "ended_names_day",
        "row",
        "warning",
        "ended_date",
        "终止参保应有终止日期",
        "an enrolment that has ended says when",
        gxe.ExpectColumnValuesToNotBeNull(column="ended_date", row_condition=Column("enrolment_status") == "3"),
        lambda t: sa.and_(t.c.enrolment_status == "3", t.c.ended_date.is_(None)),
    ),
]

"""Cross-field rules of the health commission."""

import great_expectations.expectations as gxe
import sqlalchemy as sa
from great_expectations.expectations.row_conditions import Column

from expectations.rules import Rule

RULES = [
    Rule(
        "contract_dates_in_order", "row", "error", "contract_end_date", "签约截止不早于签约日期", "a doctor contract does not end before it starts",
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="contract_end_date", column_B="contract_start_date", or_equal=True, ignore_row_if="either_value_is_missing"
        ),
        lambda t: t.c.contract_end_date < t.c.contract_start_date,
    ),
    Rule(
        "major_illness_names_disease", "row", "warning", "disease_code", "大病应有病种", "a major illness names its disease",
        gxe.ExpectColumnValuesToNotBeNull(column="disease_code", row_condition=Column("illness_class") == "2"),
        lambda t: sa.and_(t.c.illness_class == "2", t.c.disease_code.is_(None)),
    ),
]  # fmt: skip

"""Cross-field rules of the housing bureau."""

import great_expectations.expectations as gxe
import sqlalchemy as sa
from great_expectations.expectations.row_conditions import Column

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
    # 国办发〔2023〕39号: only houses appraised C (repair) or D (rebuilding) are renovated.
    Rule(
        "renovated_house_is_dangerous",
        "row",
        "error",
        "house_grade",
        "危房改造的房屋应为C级或D级",
        "a renovated house is of grade C or D",
        gxe.ExpectColumnValuesToBeInSet(column="house_grade", value_set=["C", "D"], row_condition=Column("housing_form").is_in(["3", "4"])),
        lambda t: sa.and_(t.c.housing_form.in_(["3", "4"]), t.c.house_grade.not_in(["C", "D"])),
    ),
    Rule(
        "rental_has_rent",
        "row",
        "warning",
        "monthly_rent_yuan",
        "公租房应有月租金",
        "public rental housing has a rent",
        gxe.ExpectColumnValuesToNotBeNull(column="monthly_rent_yuan", row_condition=Column("housing_form") == "1"),
        lambda t: sa.and_(t.c.housing_form == "1", t.c.monthly_rent_yuan.is_(None)),
    ),
]

"""Cross-field rules of the education bureau."""

import great_expectations.expectations as gxe
import sqlalchemy as sa
from great_expectations.expectations.row_conditions import Column

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
    Rule(
        "aid_names_amount",
        "row",
        "warning",
        "aid_yuan",
        "有资助项目应有金额",
        "aid that is granted has an amount",
        gxe.ExpectColumnValuesToNotBeNull(column="aid_yuan", row_condition=Column("aid_type") != "00"),
        lambda t: sa.and_(t.c.aid_type != "00", t.c.aid_yuan.is_(None)),
    ),
    Rule(
        "pupil_has_guardian",
        "row",
        "warning",
        "guardian_name",
        "义务教育阶段学生应有监护人",
        "a pupil of compulsory schooling has a guardian",
        gxe.ExpectColumnValuesToNotBeNull(column="guardian_name", row_condition=Column("stage").is_in(["21", "31"])),
        lambda t: sa.and_(t.c.stage.in_(["21", "31"]), t.c.guardian_name.is_(None)),
    ),
]

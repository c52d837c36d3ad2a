"""Parse looks at whole columns first; what it refuses and reads is what a look at every value would."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import parsing
from schemas.contract import Contract, load_contract, stems
from tests.examples import examples

CONTRACT = load_contract(stems()[0])
ODD = st.one_of(
    st.none(),
    st.sampled_from(["=1+1", "＝甲", "+86138", "-1", "+cmd|' /C calc'!A0", "a\x00b", "\ufffd", "甲\n=乙", "2026-03-01", "20260301", "2026/3/1", "x" * 4001]),
    st.text(max_size=6),
)  # fmt: skip
ROWS = st.lists(st.fixed_dictionaries({f.physical_name: ODD for f in CONTRACT.fields}), min_size=1, max_size=5)


def frame(contract: Contract, rows: list[dict[str, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={f.physical_name: pl.String for f in contract.fields})


def parsed(raw: pl.DataFrame) -> parsing.Batch:
    return parsing.parse_batch(CONTRACT, raw, 0, parsing.Drift())


@examples(25)
@given(ROWS)
def test_a_look_at_whole_columns_refuses_the_very_rows_that_a_look_at_every_value_does(rows: list[dict[str, str | None]]) -> None:
    raw = frame(CONTRACT, rows)
    quick = parsed(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "_suspects", lambda _, text, __: pl.repeat(True, text.height, dtype=pl.Boolean, eager=True))
        careful = parsed(raw)
    assert quick.rejects.equals(careful.rejects)
    assert quick.typed.equals(careful.typed)
    assert quick.typed.height + quick.rejects["row_number"].n_unique() == raw.height


def test_dates_of_several_spellings_in_one_column_are_all_read() -> None:
    birth = CONTRACT.by_concept("person.birth_date")
    assert birth is not None
    spellings = ["1984-03-10", "19840310", None, "10.3.1984"]
    rows = [{f.physical_name: None for f in CONTRACT.fields} | {birth.physical_name: s} for s in spellings]
    batch = parsing._typed(
        CONTRACT, frame(CONTRACT, rows).rename({f.physical_name: f.name for f in CONTRACT.fields}).with_row_index("row_number")
    )
    assert batch[birth.name].to_list() == [date(1984, 3, 10), date(1984, 3, 10), None, None]

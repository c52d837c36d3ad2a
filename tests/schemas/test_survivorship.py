"""A survivorship policy is read whole or refused in one sentence that names the place."""

from pathlib import Path

import pytest

from hub.errors import ConfigError
from schemas.contract import stems
from schemas.survivorship import SHIPPED, Criterion, load

GOOD = "version: 2\ndecided_date: 2026-03-01\ncriteria: [valid_number, recency]\n"


def test_the_policy_that_comes_with_the_hub_is_one() -> None:
    policy = load(SHIPPED, stems())
    assert policy.version == 2 and policy.attributes == {}
    assert policy.of("phone").criteria == (Criterion.VALID_NUMBER, Criterion.AUTHORITY, Criterion.RECENCY, Criterion.AGREEMENT)


def test_an_attribute_may_differ(tmp_path: Path) -> None:
    file = tmp_path / "p.yml"
    file.write_text(
        f"{GOOD}attributes: {{phone: {{criteria: [agreement, authority], authority: {{{stems()[0]}: 95}}}}}}\n", encoding="utf-8"
    )
    policy = load(file, stems())
    assert policy.of("phone").criteria == (Criterion.AGREEMENT, Criterion.AUTHORITY) and policy.of("phone").authority == {stems()[0]: 95}
    assert policy.of("name").criteria == (Criterion.VALID_NUMBER, Criterion.RECENCY) and policy.of("name").authority == {}


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (GOOD.replace("recency", "beauty"), "criteria.1", "valid_number"),
        (GOOD.replace("recency", "valid_number"), "criteria", "asked twice"),
        (GOOD.replace("[valid_number, recency]", "[]"), "criteria", "at least one"),
        (GOOD.replace("2026-03-01", "2026-02-30"), "decided_date", "date"),
        (GOOD.replace("version: 2\n", ""), "version", "is missing"),
        (GOOD.replace("version: 2", "version: 0"), "version", "below 1"),
        (f"{GOOD}attributes: {{colour: {{criteria: [recency]}}}}\n", "attributes.colour", "resident_id"),
        (f"{GOOD}attributes: {{phone: {{criteria: [authority], authority: {{police: 3}}}}}}\n", "attributes.phone.authority", "'police'"),
        (f"{GOOD}attributes: {{phone: {{authority: {{{stems()[0]}: 3}}}}}}\n", "attributes.phone.authority", "none of the criteria"),
        (f"{GOOD}colour: red\n", "colour", "no such entry"),
        ("- 1\n", "p.yml", "not of the form"),
        ("a: [\n", "line 2", "not YAML"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_place(tmp_path: Path, text: str, place: str, says: str) -> None:
    file = tmp_path / "p.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(file, stems())
    assert place in str(refused.value.where) and says in refused.value.message and "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yml", stems())

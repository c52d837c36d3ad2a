"""A policy that cannot be meant is refused, with the place; the hub's own are sound."""

import json
from datetime import date

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from hub.errors import ConfigError
from pipeline.cli.main import app
from sharing import explain
from sharing import policy as policies

GOOD = {
    "valid_from": "2026-01-01",
    "departments": {"alpha": {"zh": "甲", "en": "Alpha"}},
    "purposes": {"review": {"title": {"zh": "核", "en": "Review"}, "legal_basis": ["law"], "retention_days": 30}},
    "questions": {
        "insured": {"title": {"zh": "问", "en": "q"}, "source": "medical_insurance", "silence": "no", "all_of": [{"field": "enrolment_status", "equals": "1"}]}
    },
    "grants": [{"department": "alpha", "purpose": "review", "attributes": {"person.name": "masked"}, "questions": ["insured"]}],
}  # fmt: skip


def changed(path: str, value: object) -> str:
    document = yaml.safe_load(yaml.safe_dump(GOOD))
    node = document
    *before, last = path.split("/")
    for step in before:
        node = node[int(step) if step.isdigit() else step]
    node[int(last) if last.isdigit() else last] = value
    return yaml.safe_dump(document, allow_unicode=True)


def test_a_sound_policy_is_read() -> None:
    assert policies.parse(yaml.safe_dump(GOOD), "p").grant("alpha", "review", date(2026, 1, 1)) is not None


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("grants/0/attributes", {"person.shoe_size": "clear"}, "no such attribute"),
        ("grants/0/attributes", {"person.sex": "masked"}, "cannot be told as masked"),
        ("grants/0/attributes", {"person.name": "shouted"}, "Input should be"),
        ("grants/0/attributes", {"health.illness_class": "clear"}, "under 14"),
        ("grants/0/attributes", {"household.size": "masked"}, "cannot be told"),
        ("grants/0/department", "gamma", "no such department"),
        ("grants/0/purpose", "fun", "no such purpose"),
        ("grants/0/questions", ["happy"], "no question"),
        ("grants/0/rows", {"territory": ["999999"]}, "no area"),
        ("grants/0/rows", {"known_to": ["police"]}, "no such source"),
        ("grants/0/rows", {"programs": ["police"]}, "no question"),
        ("grants/0/rows", {"consent": "promised"}, "Input should be"),
        ("grants/0/rows", {"everybody": True}, "Extra inputs"),
        ("grants/0/sudo", True, "Extra inputs"),
        ("purposes/review/legal_basis", [], "at least 1"),
        ("purposes/review/retention_days", 0, "greater than or equal to 1"),
        ("purposes/review/bulk", 100_000, "less than or equal to 10000"),
        ("questions/insured/source", "police", "no such source"),
        ("questions/insured/all_of", [{"field": "shoe_size", "equals": "1"}], "no such field"),
        ("questions/insured/all_of", [{"field": "enrolment_status", "equals": "9"}], "is not in"),
        ("questions/insured/all_of", [{"field": "enrolment_status"}], "exactly one test"),
        ("questions/insured/silence", "maybe", "Input should be"),
        ("departments", {"Alpha-1": {"zh": "甲", "en": "A"}}, "a code is"),
        ("grants", [GOOD["grants"][0], GOOD["grants"][0]], "two grants"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_place(path: str, value: object, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policies.parse(changed(path, value), "p.yml")
    assert told in refused.value.message
    assert (refused.value.where or "").startswith("p.yml ")


def test_who_is_not_named_is_told_of_only_where_the_consent_is_registered() -> None:
    text = (policies.FOLDER / "2026-01-01.yml").read_text(encoding="utf-8")
    policy = policies.parse(text, "p.yml")
    (grant,) = [g for g in policy.grants if g.name == "disabled_federation__rehabilitation_aid"]
    assert grant.export and not policy.needs_reference(grant)
    with pytest.raises(ConfigError, match="must be registered"):
        policies.parse(text.replace(", consent: registered}", "}"), "p.yml")


def test_being_in_a_program_that_a_sensitive_field_decides_is_told_with_the_person() -> None:
    for stem, field, is_sensitive in (("disability", "grade", True), ("medical_insurance", "enrolment_status", False)):
        document = yaml.safe_load(yaml.safe_dump(GOOD))
        asked = {**GOOD["questions"]["insured"], "source": stem, "all_of": [{"field": field, "equals": "1"}]}  # type: ignore[index]
        document["questions"]["held"] = asked
        document["grants"][0]["rows"] = {"programs": ["held"]}
        text = yaml.safe_dump(document, allow_unicode=True)
        if is_sensitive:
            with pytest.raises(ConfigError, match="under 14"):
                policies.parse(text, "p.yml")
        else:
            assert policies.parse(text, "p.yml")


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "grants: 7"])
def test_what_is_no_policy_at_all_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        policies.parse(text, "p.yml")


def test_the_hubs_own_policies_are_sound_and_named_after_their_first_day() -> None:
    assert policies.in_force(date(2026, 3, 1)).valid_from <= date(2026, 3, 1)
    with pytest.raises(ConfigError, match="no policy is in force"):
        policies.in_force(date(2001, 1, 1))


def test_the_newest_policy_that_has_begun_is_in_force(tmp_path) -> None:
    for day in ("2026-01-01", "2026-02-01"):
        (tmp_path / f"{day}.yml").write_text(changed("valid_from", day), encoding="utf-8")
    assert [str(policies.in_force(date(2026, m, d), tmp_path).valid_from) for m, d in ((1, 31), (2, 1), (9, 9))] == [
        "2026-01-01",
        "2026-02-01",
        "2026-02-01",
    ]
    (tmp_path / "2026-03-01.yml").write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    policies._all.cache_clear()
    with pytest.raises(ConfigError, match="its name says otherwise"):
        policies.in_force(date(2026, 3, 1), tmp_path)


def test_a_version_is_of_the_content_alone() -> None:
    one, two = (policies.parse(yaml.safe_dump(GOOD, sort_keys=s), "p") for s in (True, False))
    assert one.version == two.version
    assert policies.parse(changed("purposes/review/retention_days", 31), "p").version != one.version


def test_a_change_is_told_in_words_more_from_less() -> None:
    old = policies.parse(yaml.safe_dump(GOOD), "p")
    more = policies.parse(changed("grants/0/attributes", {"person.name": "clear", "person.phone": "yes_no"}), "p")
    assert explain.differences(old, more) == [
        "+ alpha × review: person.name masked → clear",
        "+ alpha × review: person.phone refused → yes_no",
    ]
    assert [line[0] for line in explain.differences(more, old)] == ["−", "−"]
    assert explain.differences(old, old) == []
    bounded = policies.parse(changed("grants/0/rows", {"min_age": 18}), "p")
    assert explain.differences(old, bounded) == ["~ alpha × review: 所有人 everybody → 年满 aged 18+"]
    gone = policies.parse(changed("grants", []), "p")
    assert explain.differences(old, gone)[0] == "− 授权 grant alpha × review"


def test_its_schema_takes_the_hubs_own_policies_and_refuses_a_field_nobody_knows() -> None:
    printed = CliRunner().invoke(app, ["policy", "schema"])
    schema = Draft202012Validator(json.loads(printed.stdout))
    for path in sorted(policies.FOLDER.glob("*.yml")):
        # As JSON has it: dates are texts there.
        written = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))
        assert not list(schema.iter_errors(written)), path.name
        assert list(schema.iter_errors({**written, "granted": []}))

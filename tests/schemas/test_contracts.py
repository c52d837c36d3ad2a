"""Contracts follow the standard and carry what identity, parse, gate and the law need."""

import pytest
import yaml

from hub.errors import ContractError
from schemas.codes import CODES_DIR, load_code_set
from schemas.concepts import load_concepts
from schemas.contract import SCHEMAS_DIR, Scope, load_contract, load_contracts, stems

STEMS = stems()
IDENTITY = ("person.resident_id", "person.name", "person.birth_date", "person.sex", "record.key", "record.updated_at")


@pytest.mark.parametrize("stem", STEMS)
def test_contract_carries_what_identity_needs(stem: str) -> None:
    contract = load_contract(stem)
    assert 15 <= len(contract.fields) <= 30
    assert [c for c in IDENTITY if contract.by_concept(c) is None] == []
    assert contract.by_concept("record.key") == contract.key
    assert contract.by_concept("household.registered_no") or contract.by_concept("household.living_no")


@pytest.mark.parametrize("stem", STEMS)
def test_every_field_is_titled_classified_and_filled(stem: str) -> None:
    for spec in load_contract(stem).fields:
        assert spec.title_zh and spec.title_en
        assert spec.classification in ("public", "internal", "personal", "sensitive"), spec.name
        assert spec.synthetic, f"the sandbox cannot fill {spec.name}"
        if spec.concept:
            assert spec.concept in load_concepts()
            if spec.concept.startswith(("person.", "guardian.", "household.")):
                assert spec.classification in ("personal", "sensitive"), spec.name


@pytest.mark.parametrize("stem", STEMS)
def test_rule_ids_are_unique(stem: str) -> None:
    contract = load_contract(stem)
    ids = [q.rule_id for q in (*contract.quality, *(q for f in contract.fields for q in f.quality))]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("stem", STEMS)
def test_deadline_is_before_five_or_at_five_and_pull_after_half_past_midnight(stem: str) -> None:
    delivery = load_contract(stem).delivery
    minute, hour = delivery.schedule.split()[:2]
    assert int(hour) == 0 and int(minute) >= 30
    assert (delivery.deadline.hour, delivery.deadline.minute) <= (5, 0)
    assert Scope.FULL in delivery.scopes


def test_no_two_agencies_are_pulled_at_one_minute() -> None:
    minutes = [c.delivery.schedule.split()[0] for c in load_contracts().values()]
    assert len(minutes) == len(set(minutes))


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda d: d.pop("version"), "version"),
        (lambda d: d["schema"][0]["properties"][1].pop("classification"), "classification"),
        (lambda d: d["schema"][0]["properties"][1].update(logicalType="text"), "breaks ODCS"),
        (lambda d: d["schema"][0]["properties"][1]["customProperties"].append({"property": "codeSet", "value": "none_such"}), "none_such"),
        (lambda d: d["schema"][0]["properties"][0].pop("primaryKey"), "primaryKey"),
        (lambda d: d["slaProperties"].pop(0), "schedule"),
    ],
    ids=["no version", "unclassified field", "unknown type", "unknown code set", "no key", "no schedule"],
)
def test_a_wrong_contract_is_told_with_file_and_field(tmp_path, break_it, says) -> None:  # type: ignore[no-untyped-def]
    stem = STEMS[0]
    document = yaml.safe_load((SCHEMAS_DIR / f"{stem}.yml").read_text(encoding="utf-8"))
    break_it(document)
    (tmp_path / f"{stem}.yml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    with pytest.raises(ContractError) as told:
        load_contract(stem, tmp_path)
    assert says in str(told.value)
    assert f"schemas/{stem}.yml" in str(told.value)


@pytest.mark.parametrize("name", sorted(p.stem for p in CODES_DIR.glob("*.csv")))
def test_code_set_is_whole(name: str) -> None:
    entries = load_code_set(name)
    assert entries
    for entry in entries.values():
        assert entry.zh and entry.en and entry.source
        assert entry.parent is None or entry.parent in entries
        assert entry.valid_from is None or entry.valid_to is None or entry.valid_from <= entry.valid_to

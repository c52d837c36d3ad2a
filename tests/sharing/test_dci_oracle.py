"""The oracle of DCI messages can fail: every rule of it refuses what breaks it, and every rule of the standard's own files is one of its own."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hub.settings import Settings
from sharing.app import create
from tests.sharing import published
from tests.sharing.conftest import AUDIENCE
from tests.sharing.dci_messages import ANSWERED, ASKED, REFUSED, Kind, document, examples, faults, kinds
from tests.sharing.dci_wrongs import met, wronged
from tests.sharing.witness import NotTheStandards, Witness, lenient_in, told

KINDS = [pytest.param(kind, id=str(kind)) for kind in kinds()]
# Keywords of JSON Schema the oracle speaks; another one is a misspelt rule, which would hold nothing.
KEYWORDS = {
    "$ref", "type", "enum", "const", "format", "pattern", "maxLength", "maximum", "minItems", "required", "properties", "additionalProperties", "items",
    "allOf", "anyOf", "if", "then", "else", "examples",
}  # fmt: skip
STATUS = {REFUSED: 400}


def rules(schema):
    """Every schema within a schema."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name, inner in schema.items():
        if name == "properties":
            inner = inner.values()
        if name in ("properties", "allOf", "anyOf"):
            for part in inner:
                yield from rules(part)
        elif name in ("items", "then", "else"):
            yield from rules(inner)


def test_the_oracle_is_a_schema_and_speaks_no_word_that_is_none():
    Draft202012Validator.check_schema(document())
    for name, part in document()["$defs"].items():
        for rule in rules(part):
            assert rule.keys() <= KEYWORDS, name


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_sound(kind):
    for example in examples(kind):
        assert faults(kind, example) == []


def test_examples_meet_every_rule():
    found = {rule for kind in kinds() for rule in met(kind)}
    unmet = [name for name, part in document()["$defs"].items() for rule in rules(part) if id(rule) not in found]
    assert unmet == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_with_any_rule_broken_is_refused(kind):
    tried = list(wronged(kind))
    assert {"left out", "of another type"} <= {wrong.how for wrong in tried}
    assert [f"{wrong.place} {wrong.how}" for wrong in tried if not faults(kind, wrong.message)] == []


own_files = pytest.mark.skipif(published.FOLDER is None, reason="DCI_SCHEMAS names no folder of the standard's own files")


@own_files
def test_every_repair_of_the_standards_own_files_changes_what_they_take():
    idle = set(published.NAMES)
    for kind in kinds():
        status = STATUS.get(kind.way, 200)
        for message in (*examples(kind), *(wrong.message for wrong in wronged(kind))):
            is_refused = bool(published.faults(kind, status, message, published.NAMES))
            idle = {name for name in idle if bool(published.faults(kind, status, message, published.NAMES - {name})) is is_refused}
        if not idle:
            return
    assert idle == set()


@own_files
def test_what_breaks_any_rule_of_the_standards_own_files_is_refused_and_the_examples_are_theirs():
    tried, taken = 0, []
    for kind in kinds():
        status = STATUS.get(kind.way, 200)
        for example in examples(kind):
            assert not published.faults(kind, status, example) or not published.faults(kind, status, example, published.NAMES), kind
            wrong = [w for w in published.wronged(kind, status, example) if published.faults(kind, status, w.message, published.NAMES)]
            tried += len(wrong)
            taken += [f"{kind} {w.place} {w.how}" for w in wrong if not faults(kind, w.message)]
    assert tried > 1000 and taken == []


SEARCH = "/registry/sync/search"
ASKING, TELLING = (examples(Kind(f"POST {SEARCH}", way))[0] for way in (ASKED, ANSWERED))


def passed(asked=ASKING, told=TELLING, by=None):
    (by or Witness()).passed("POST", SEARCH, json.dumps(asked).encode(), 200, json.dumps(told).encode())


def without(message, *way):
    found = deepcopy(message)
    node = found
    for step in way[:-1]:
        node = node[step]
    del node[way[-1]]
    return found


def test_an_answer_that_is_not_the_standards_fails_the_test_that_asked():
    with pytest.raises(NotTheStandards, match="POST /registry/sync/search answered .200.: /message: required"):
        passed(told=without(TELLING, "message", "correlation_id"))
    with pytest.raises(NotTheStandards, match="no JSON"):
        Witness().passed("POST", SEARCH, b"{}", 500, b"Internal Server Error")


def test_a_request_that_is_not_the_standards_and_is_taken_fails_it_too_unless_it_leans_on_that():
    loose = without(ASKING, "message", "search_request", 0, "timestamp")
    with pytest.raises(NotTheStandards, match="asked"):
        passed(loose)
    rejected = {"signature": "s", "header": {**TELLING["header"], "status": "rjct", "status_reason_message": "…"}}
    passed(loose, rejected)
    one = Witness()
    with lenient_in("timestamps left out", one):
        passed(loose, by=one)
        with pytest.raises(NotTheStandards, match="the standard takes this"):
            passed(by=one)
    with pytest.raises(AssertionError, match="nothing was taken"), lenient_in("nothing", one):
        passed(loose, rejected, one)


def test_a_callback_that_is_not_the_standards_is_told_of_where_the_test_ends():
    found = Witness()
    found.sent("/dci/registry/on-search", json.dumps(TELLING).encode())
    found.sent("/hook", b"not DCI")
    assert found.behind == []
    found.sent("/registry/on-search", json.dumps(without(TELLING, "header", "message_ts")).encode())
    found.sent("/registry/on-subscribe", json.dumps(TELLING).encode())
    assert [f.split(":")[1].strip() for f in found.behind] == [
        "CALLBACK /registry/on-search sent (200)",
        "CALLBACK /registry/on-subscribe sent (200)",
    ]


def test_faults_are_told_by_place_and_rule_and_never_by_value():
    wrong = deepcopy(TELLING)
    record = wrong["message"]["search_response"][0]["data"]["reg_records"][0]
    record["demographic_info"]["sex"] = record["demographic_info"]["birth_date"] = record["demographic_info"]["name"] = "王伟"
    found = faults(Kind(f"POST {SEARCH}", ANSWERED), wrong)
    assert len(found) == 3 and "王伟" not in "".join(found)


def test_what_the_page_of_the_interface_shows_is_the_standards():
    shown = 0
    for path, methods in create(Settings(home=Path("/nonexistent")), AUDIENCE).openapi()["paths"].items():
        for method, operation in methods.items():
            address = f"{method.upper()} {path}"
            for status, answer in operation["responses"].items() if Kind(address, ANSWERED) in kinds() else ():
                content = answer.get("content", {}).get("application/json", {})
                for example in [content["example"]] if "example" in content else [e["value"] for e in content.get("examples", {}).values()]:
                    assert faults(Kind(address, told(int(status), example)), example) == [], (address, status)
                    shown += 1
    assert shown > 100

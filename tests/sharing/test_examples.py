"""The OpenAPI page shows every JSON answer by an example that its schema takes, and says of headers where they come."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator, FormatChecker

from hub.settings import Settings
from sharing.app import create
from sharing.problems import MEDIA, kinds
from sharing.routes.documented import answers

JSON = ("application/json", MEDIA)


def app() -> FastAPI:
    return create(Settings(home=Path("/nonexistent")), "http://hub.test")  # type: ignore[call-arg]


PAGE = app().openapi()


def told(page: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    """Operation and status, answer, media type and its content; of every JSON answer of a page."""
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                for media, content in response.get("content", {}).items():
                    if media in JSON:
                        yield f"{method.upper()} {path} {status}", response, media, content


def at(page: dict[str, Any], node: Any) -> Any:
    """What a node is, or refers to."""
    if "$ref" not in node:
        return node
    found = page
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def examples(page: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    named = [at(page, e)["value"] for e in content.get("examples", {}).values()]
    return [*named, *([content["example"]] if "example" in content else []), *at(page, content["schema"]).get("examples", [])]


def without(page: dict[str, Any]) -> list[str]:
    return [name for name, _, _, content in told(page) if not examples(page, content)]


def test_every_json_answer_has_an_example() -> None:
    found = [name for name, *_ in told(PAGE)]
    assert any(name.endswith(" 201") for name in found) and any(name.endswith(" 503") for name in found)
    assert without(PAGE) == []


def test_a_new_operation_without_one_is_found() -> None:
    grown = app()

    @grown.get("/v1/new")
    async def new() -> dict[str, str]:
        return {}

    assert set(without(grown.openapi())) - set(without(PAGE)) == {"GET /v1/new 200"}


def test_every_example_is_one_its_schema_takes() -> None:
    wrong = []
    for name, _, _, content in told(PAGE):
        schema = {**content["schema"], "components": PAGE["components"]}
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        for example in examples(PAGE, content):
            wrong += [f"{name}: {'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(example)]
    assert wrong == []


def test_every_example_of_the_file_is_of_an_operation_that_answers_with_json() -> None:
    shown = {name.rpartition(" ")[0] for name, _, media, _ in told(PAGE) if media == "application/json"}
    assert set(answers()) <= shown
    assert all(answers().values())


def test_every_problem_is_shown_in_both_languages_where_it_may_come() -> None:
    for name, _, media, content in told(PAGE):
        if media != MEDIA:
            continue
        status = int(name.rpartition(" ")[2])
        codes = {k.code for k in kinds().values() if k.status == status}
        seen = {(e["code"], e["title"]) for e in examples(PAGE, content)}
        assert seen == {(code, kinds()[code].title[spoken]) for code in codes for spoken in ("zh", "en")}, name
        assert all(e["status"] == status and e["next_step"] and e["request_id"] for e in examples(PAGE, content)), name


def test_what_passes_says_when_to_come_back() -> None:
    for name, response, _, _ in told(PAGE):
        if name.endswith((" 429", " 503")):
            assert at(PAGE, response["headers"]["Retry-After"])["schema"]["type"] == "integer", name


@pytest.mark.parametrize(
    "path", ["/v1/persons/{person_id}", "/v1/households/{household_id}", "/v1/catalogue", "/v1/compare-jobs/{job_id}/output"]
)
def test_who_holds_an_answer_may_ask_whether_it_still_is_the_same(path: str) -> None:
    operation = PAGE["paths"][path]["get"]
    assert ("header", "If-None-Match") in [(p["in"], p["name"]) for p in operation["parameters"]]
    for status in ("200", "304"):
        assert "ETag" in operation["responses"][status]["headers"]


def test_whatever_the_page_refers_to_is_in_it() -> None:
    text = json.dumps(PAGE)
    referred = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert referred and all(at(PAGE, {"$ref": r}) is not None for r in referred)

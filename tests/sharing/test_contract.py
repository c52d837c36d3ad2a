"""The service keeps to its own OpenAPI page, whatever is sent: no server error, no answer it does not document."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from hub.settings import Settings
from sharing.app import create
from tests.sharing.conftest import AUDIENCE

pytestmark = pytest.mark.slow
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PAGE = create(Settings(home=Path("/nonexistent")), AUDIENCE).openapi()  # type: ignore[call-arg]
OPERATIONS = {f"{o.method.upper()} {o.path}": o for o in (r.ok() for r in schemathesis.openapi.from_dict(PAGE).get_all_operations())}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_one_the_page_documents(name, pool, civil):
    """Sound and unsound requests as the page describes them, made up by schemathesis."""
    operation = OPERATIONS[name]
    sound = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
    try:
        unsound = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    except Exception:
        unsound = sound
    seen = set()

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(sound, unsound))
    def tried(case):
        wire = case.as_transport_kwargs(base_url=str(pool.http.base_url), headers={} if case.path == "/oauth2/token" else civil.headers)
        try:
            found = pool.http.request(**{k: v for k, v in wire.items() if v is not None and k != "cookies"})
        except (UnicodeEncodeError, ValueError):  # what no client can put on the wire
            return
        seen.add(found.status_code)
        case.validate_response(schemathesis.Response.from_any(found), checks=CHECKS)

    tried()
    assert seen


def test_the_page_is_openapi_3_1_and_documents_every_route(pool):
    page = pool.http.get("/openapi.json").json()
    assert page == PAGE and page["openapi"].startswith("3.1")
    for path, methods in page["paths"].items():
        for operation in methods.values():
            assert operation["summary"] and operation["responses"], path
            has_key = "idempotency-key" in [p["name"] for p in operation.get("parameters", ())]
            assert ("422" in operation["responses"]) is has_key, "malformed requests are 400"

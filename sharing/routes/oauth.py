"""Tokens by client credentials (RFC 6749 section 4.4), and the keys they are verified by."""

import asyncio
import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote_plus

import orjson
from fastapi import APIRouter, Form, Request, Response

from hub.errors import HubError
from sharing import secret as secrets
from sharing import tls, tokens
from sharing.dci import signature
from sharing.models import Token, TokenError
from sharing.routes.documented import headers
from sharing.service import Service
from warehouse import answers
from warehouse.asking import Refused

router = APIRouter(tags=["oauth"])
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def _refusal(description: str, *errors: str, is_passing: bool = False) -> dict[str, Any]:
    shown = {e: {"value": TokenError.model_validate({"error": e}).model_dump()} for e in errors}
    later = {"headers": headers("Retry-After")} if is_passing else {}
    return {"model": TokenError, "description": description, "content": {"application/json": {"examples": shown}}, **later}


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: _refusal("The request is malformed.", "invalid_request", "unsupported_grant_type", "invalid_scope"),
    401: _refusal("No such client, or not proved.", "invalid_client"),
    429: _refusal("Too many tries.", "temporarily_unavailable", is_passing=True),
    503: _refusal("Try again later.", "temporarily_unavailable", is_passing=True),
}
_WAIT = asyncio.Semaphore(2)  # a guess costs 16 MiB: no more at one time


def _error(status: int, error: str, **headers: str) -> Response:
    return Response(orjson.dumps({"error": error}), status, {**NO_STORE, **headers}, "application/json")


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (unquote_plus(name), unquote_plus(secret)) if colon else None


async def _has_proved(service: Service, row: Any, client_id: str, secret: str | None, assertion: str | None) -> bool:
    """Whether the caller is the client it says it is. A client that is not there takes as long as a wrong secret."""
    if assertion is not None:
        if row is None or row["public_keys"] is None:
            return False
        audience = {service.audience, f"{service.audience}/oauth2/token"}
        good = tokens.asserted(assertion, client_id, orjson.loads(row["public_keys"]), audience)
        return good is not None and await answers.take_assertion(service.asking, client_id, good[0], datetime.fromtimestamp(good[1], UTC))
    hashes = list(row["hashes"]) if row is not None and row["hashes"] else [secrets.NOBODY]
    async with _WAIT:
        found = [await asyncio.to_thread(secrets.matches, secret or "", h) for h in hashes[:2]]
    return row is not None and any(found)


@router.post("/oauth2/token", summary="An access token", response_model=Token, responses=REFUSALS)
async def token(
    request: Request,
    grant_type: Annotated[str | None, Form(examples=["client_credentials"])] = None,
    client_id: Annotated[str | None, Form(max_length=40)] = None,
    client_secret: Annotated[str | None, Form(max_length=200)] = None,
    client_assertion_type: Annotated[str | None, Form()] = None,
    client_assertion: Annotated[str | None, Form(max_length=8192)] = None,
    scope: Annotated[str | None, Form(max_length=1000, description="Purposes, separated by spaces; all if not given.")] = None,
) -> Response:
    """By HTTP Basic, by client_id and client_secret in the form, or by a signed assertion (private_key_jwt). It lives five minutes."""
    service: Service = request.app.state.service
    basic = _basic(request.headers.get("authorization", ""))
    if basic is not None:
        if client_secret is not None or client_assertion is not None:
            return _error(400, "invalid_request")
        client_id, client_secret = basic
    if grant_type != "client_credentials":
        return _error(400, "invalid_request" if not grant_type else "unsupported_grant_type")
    if not client_id or "\x00" in client_id or (client_secret is None) == (client_assertion is None):
        return _error(400, "invalid_request")
    if client_assertion is not None and client_assertion_type != _ASSERTION:
        return _error(400, "invalid_request")
    if wait_s := service.token_tries.wait_s(client_id):
        return _error(429, "temporarily_unavailable", **{"Retry-After": str(wait_s)})
    try:
        row = await answers.client(service.asking, client_id)
        proved = await _has_proved(service, row, client_id, client_secret, client_assertion)
    except (HubError, Refused):
        return _error(503, "temporarily_unavailable", **{"Retry-After": "5"})
    is_bound = row is not None and row["certificate"] is not None
    if row is None or not proved or (is_bound and row["certificate"] != tls.shown(request.scope)):
        service.token_tries.take(client_id)
        return _error(401, "invalid_client", **{"WWW-Authenticate": 'Basic realm="hub"'})
    own = None if row["purposes"] is None else frozenset(row["purposes"])
    asked = None if scope is None else frozenset(scope.split())
    if asked is not None and not (asked and asked <= (own if own is not None else frozenset(service.moment.policy.purposes))):
        return _error(400, "invalid_scope")
    given = asked if asked is not None else own
    access = service.tokens.give(client_id, row["department"], row["generation"], given, row["certificate"])
    content: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "expires_in": tokens.LIFETIME_S}
    if given is not None:
        content["scope"] = " ".join(sorted(given))
    return Response(orjson.dumps(content), 200, NO_STORE, "application/json")


@router.get("/.well-known/jwks.json", summary="Keys tokens and messages are verified by", response_model=dict[str, Any])
async def jwks(request: Request) -> Response:
    """JSON Web Key Set (RFC 7517). While a key is rotated the former and the next are in it as well. The key that signs DCI messages is its last."""
    service: Service = request.app.state.service
    keys = [*service.tokens.jwks()["keys"], *signature.own_jwks(service.settings)]
    return Response(orjson.dumps({"keys": keys}), 200, {"Cache-Control": "public, max-age=60"}, "application/json")


@router.get("/.well-known/oauth-authorization-server", summary="What the token endpoint takes", response_model=dict[str, Any])
async def metadata(request: Request) -> dict[str, Any]:
    """Authorization server metadata (RFC 8414)."""
    base = request.app.state.service.audience
    return {
        "issuer": base, "token_endpoint": f"{base}/oauth2/token", "jwks_uri": f"{base}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"], "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "tls_client_certificate_bound_access_tokens": request.app.state.service.settings.sharing_tls_client_authorities is not None,
        "token_endpoint_auth_signing_alg_values_supported": ["Ed25519", "EdDSA", "ES256", "PS256"],
    }  # fmt: skip

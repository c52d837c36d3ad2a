"""Messages as they travel. What comes is read leniently: unknown members are passed over, an empty text counts as left out, numbers may
be texts. What leaves is strict. Source: Digital Convergence Initiative, Social Registry API 1.0.0 (OpenAPI).
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

VERSION: Literal["1.0.0"] = "1.0.0"
MOST_REQUESTS = 100
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)")
_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"


def _instant(value: Any) -> Any:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError("an ISO 8601 instant with its zone")
    return value


def _given(value: Any) -> Any:
    """An empty text says nothing."""
    return None if value == "" else value


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=99, pattern=_PRINTABLE)]
Empty = BeforeValidator(_given)
Locale = Annotated[Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")] | None, Empty]
QueryType = Literal["idtype-value", "expression", "predicate"]
Status = Literal["rcvd", "pdng", "succ", "rjct"]
Operator = Literal["gt", "lt", "eq", "ge", "le", "in"]
Entity = Literal["Group", "Member"]
Scalar = str | bool | int | float


class _In(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True, populate_by_name=True)


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# What comes.


class Header(_In):
    """The header of a request."""

    version: str = Field(VERSION, max_length=20)
    message_id: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PRINTABLE)] = Field(
        description="Of the sender's making; good once.", examples=["0b5a1d2e-7c6f-4a8e-9d10-2f3e4a5b6c7d"]
    )
    message_ts: Instant = Field(description="When it was sent.", examples=["2026-03-06T08:00:00+08:00"])
    action: str = Field(max_length=40, examples=["search"])
    sender_id: str = Field(min_length=1, max_length=200, description="As registered for the client.")
    sender_uri: Annotated[str | None, Empty] = Field(
        None, max_length=500, description="Where answers are sent: the registered address or one below it."
    )
    receiver_id: Annotated[str | None, Empty] = Field(None, max_length=200, description="This hub; may be left out.")
    total_count: int = Field(ge=0, description="How many requests the message holds.", examples=[1])
    is_msg_encrypted: bool = False


class Purpose(_In):
    """What an answer is for."""

    code: Annotated[str | None, Empty] = Field(
        None, max_length=100, description="Code of the purpose, from the catalogue.", examples=["low_income_review"]
    )
    text: Annotated[str | None, Empty] = Field(None, max_length=999)
    ref_uri: Annotated[str | None, Empty] = Field(None, max_length=500)


class Statement(_In):
    """A consent of the person, or an authority to ask; ``@id`` is its reference."""

    id: Annotated[str | None, Empty] = Field(
        None, alias="@id", max_length=64, description="Reference of the authorisation.", examples=["SQ-2026-0001"]
    )
    purpose: Annotated[Purpose | None, Empty] = None


class TypedQuery(_In):
    """A kind of identifier and its value; or a template and its expression."""

    type: str = Field(max_length=100, description="Kind of identifier, or name of the template.", examples=["UIN"])
    value: Scalar | dict[str, Any] = Field(examples=["110101199003070003"])


class Expression(_In):
    """A test of one attribute."""

    attribute_name: str = Field(max_length=100, examples=["UIN"])
    operator: Operator
    attribute_value: Scalar | list[Scalar] | dict[str, Any]


class Predicate(_In):
    """One or two tests; `not` means the first and not the second, or not the first where there is no second."""

    seq_num: Annotated[float | None, Empty] = None
    expression1: Expression
    condition: Annotated[Literal["and", "or", "not"] | None, Empty] = None
    expression2: Annotated[Expression | None, Empty] = None


class Sort(_In):
    """By which attribute, and which way."""

    attribute_name: str = Field(max_length=100)
    sort_order: Literal["asc", "desc"] = "asc"


class Pagination(_In):
    """Which page of what is found; pages count from 1."""

    page_size: int = Field(ge=1, le=2_000_000_000)
    page_number: int = Field(1, ge=1, le=2_000_000_000)


class SearchCriteria(_In):
    """Whom a search means, and what for."""

    reg_event_type: Annotated[str | None, Empty] = Field(None, max_length=100)
    query_type: QueryType
    response_entity: Annotated[Entity | None, Empty] = Field(None, description="Left out = Member, or Group where a household is named.")
    query: TypedQuery | Annotated[list[Predicate], Field(min_length=1, max_length=20)]
    sort: Annotated[list[Sort] | None, Empty] = Field(None, max_length=5)
    pagination: Annotated[Pagination | None, Empty] = None
    consent: Annotated[Statement | None, Empty] = None
    authorize: Annotated[Statement | None, Empty] = None


class SearchItem(_In):
    """One search."""

    reference_id: Id = Field(description="Of the sender's making, its own in the message.", examples=["row-17"])
    timestamp: Instant
    search_criteria: SearchCriteria
    pagination: Annotated[Pagination | None, Empty] = None  # where some senders put it; in the criteria it counts first
    locale: Locale = None


class SearchRequest(_In):
    """Searches of one transaction."""

    transaction_id: Id
    search_request: list[SearchItem] = Field(min_length=1)


class SearchEnvelope(_In):
    """A search as it comes."""

    signature: Annotated[str | None, Empty] = Field(None, max_length=2000)
    header: Header
    message: SearchRequest


class TxnStatusQuery(_In):
    """Which transactions are meant."""

    reference_id: Id
    txn_type: Literal["search", "subscribe", "subscibe", "receipt"]  # the third as the standard spells it
    attribute_type: Literal["transaction_id", "reference_id_list", "correlation_id"]
    attribute_value: Id | Annotated[list[Id], Field(min_length=1, max_length=MOST_REQUESTS)]
    locale: Locale = None


class TxnStatusRequest(_In):
    """A question what became of requests."""

    transaction_id: Id
    txnstatus_request: TxnStatusQuery


class TxnStatusEnvelope(_In):
    """A question what became of requests, as it comes."""

    signature: Annotated[str | None, Empty] = Field(None, max_length=2000)
    header: Header
    message: TxnStatusRequest


class SubscribeCriteria(_In):
    """Of whom to be told, and what for."""

    reg_event_type: Annotated[str | None, Empty] = Field(None, max_length=100)
    filter_type: Annotated[QueryType | None, Empty] = None
    filter: TypedQuery | Annotated[list[Predicate], Field(min_length=1, max_length=20)]
    notify_record_type: Annotated[str | None, Empty] = Field(None, max_length=100, examples=["Member"])
    consent: Annotated[Statement | None, Empty] = None
    authorize: Annotated[Statement | None, Empty] = None


class SubscribeItem(_In):
    """One subscription that is asked for."""

    reference_id: Id
    timestamp: Instant
    subscribe_criteria: SubscribeCriteria
    locale: Locale = None


class SubscribeRequest(_In):
    """Subscriptions of one transaction."""

    transaction_id: Id
    subscribe_request: list[SubscribeItem] = Field(min_length=1)


class SubscribeEnvelope(_In):
    """A request to subscribe, as it comes."""

    signature: Annotated[str | None, Empty] = Field(None, max_length=2000)
    header: Header
    message: SubscribeRequest


class UnsubscribeRequest(_In):
    """Subscriptions that are to end."""

    transaction_id: Id
    timestamp: Instant
    subscription_codes: list[Id] = Field(
        min_length=1,
        max_length=MOST_REQUESTS,
        validation_alias=AliasChoices("subscription_codes", "sunscription_codes"),  # the second as the standard spells it
    )


class UnsubscribeEnvelope(_In):
    """A request to end subscriptions, as it comes."""

    signature: Annotated[str | None, Empty] = Field(None, max_length=2000)
    header: Header
    message: UnsubscribeRequest


class DisabledCriteria(_In):
    """Whom a question to the disability registry means, and what for. The standard's own example is `{"member.member_identifier": {"eq": …}}`."""

    query_type: Annotated[QueryType | None, Empty] = None
    query: Annotated[dict[str, Any], Field(min_length=1)] | Annotated[list[Predicate], Field(min_length=1, max_length=20)]
    consent: Annotated[Statement | None, Empty] = None
    authorize: Annotated[Statement | None, Empty] = None


class DisabledRequest(_In):
    """A question to the disability registry."""

    transaction_id: Id
    disabled_criteria: DisabledCriteria


class DisabledEnvelope(_In):
    """A question to the disability registry, as it comes."""

    signature: Annotated[str | None, Empty] = Field(None, max_length=2000)
    header: Header
    message: DisabledRequest


# What leaves.


class Reply(_Out):
    """The header of an answer."""

    version: Literal["1.0.0"] = VERSION
    message_id: str
    message_ts: datetime
    action: str
    status: Status
    status_reason_code: str | None = None
    status_reason_message: Annotated[str | None, Field(max_length=999)] = None
    total_count: int
    completed_count: int
    sender_id: str
    receiver_id: str | None = None
    is_msg_encrypted: Literal[False] = False


class Page(_Out):
    """Which part of what was found."""

    page_size: int
    page_number: int
    total_count: int


class SearchData(_Out):
    """What was found: Group or Member as JSON-LD; whoever is not there, not yours and not told leaves it empty alike."""

    version: Literal["1.0.0"] = VERSION
    reg_type: Literal["ns:org:RegistryType:Social"] = "ns:org:RegistryType:Social"
    reg_record_type: Entity
    reg_records: list[dict[str, Any]]


class SearchAnswer(_Out):
    """The answer to one search."""

    reference_id: str
    timestamp: datetime
    status: Status
    status_reason_code: str | None = None
    status_reason_message: Annotated[str | None, Field(max_length=999)] = None
    data: SearchData | None = None
    pagination: Page | None = None
    locale: str | None = None


class SearchResponse(_Out):
    """The answers of one transaction, in the order of its searches."""

    transaction_id: str
    correlation_id: str
    search_response: list[SearchAnswer]


class SearchReply(_Out):
    """An answer as it leaves. There is no message where the whole request is rejected."""

    signature: str
    header: Reply
    message: SearchResponse | None = None


class SubscribedTo(_Out):
    """What a subscription was asked for with, without purpose and consent."""

    reg_event_type: str | None
    filter_type: QueryType | None
    filter: TypedQuery | list[Predicate]
    notify_record_type: str | None


class SubscriptionInfo(_Out):
    """A subscription that was made. The standard describes ``code`` and requires ``subscription_code``: both are here, and are one."""

    version: Literal["1.0.0"] = VERSION
    code: str
    subscription_code: str
    status: Literal["subscribe"]
    timestamp: datetime
    subscribe_criteria: SubscribedTo


class SubscribeAnswer(_Out):
    """How one request to subscribe ended."""

    reference_id: str
    timestamp: datetime
    status: Status
    status_reason_code: str | None = None
    status_reason_message: Annotated[str | None, Field(max_length=999)] = None
    subscriptions: list[SubscriptionInfo] | None = None


class SubscribeResponse(_Out):
    """How the requests of one transaction ended."""

    transaction_id: str
    correlation_id: str
    subscribe_response: list[SubscribeAnswer]


class SubscriptionStatus(_Out):
    """A subscription that was ended."""

    code: str
    status: Literal["unsubscribe"]


class UnsubscribeResponse(_Out):
    """How a request to end subscriptions ended; only what was ended is listed."""

    transaction_id: str
    correlation_id: str
    timestamp: datetime
    status: Status
    status_reason_code: str | None = None
    status_reason_message: Annotated[str | None, Field(max_length=999)] = None
    subscription_status: list[SubscriptionStatus]


class EventData(_Out):
    """Of whom something else would be told now; the standard has one object here."""

    version: Literal["1.0.0"] = VERSION
    reg_type: Literal["ns:org:RegistryType:Social"] = "ns:org:RegistryType:Social"
    reg_record_type: Entity
    reg_records: dict[str, Any]


class Event(_Out):
    """One change."""

    reference_id: str
    timestamp: datetime
    data: EventData


class NotifyRequest(_Out):
    """Changes a subscriber is told of."""

    transaction_id: str
    notify_event: list[Event]


class DisabledAnswer(_Out):
    """Whether somebody is disabled."""

    reference_id: str
    timestamp: datetime
    status: Status
    disabled_status: Literal["yes", "no"]


class DisabledResponse(_Out):
    """The answer; empty where nobody is told of, or it is not known."""

    transaction_id: str
    correlation_id: str
    disabled_response: list[DisabledAnswer]


class DisabledReply(_Out):
    """Such an answer as it leaves."""

    signature: str
    header: Reply
    message: DisabledResponse | None = None


class DisabilityData(_Out):
    """What was found: an object a person, or a list of them where support is asked for."""

    version: Literal["1.0.0"] = VERSION
    reg_records: list[dict[str, Any]] | list[list[dict[str, Any]]]


class DisabilityAnswer(_Out):
    """How somebody is disabled, or what support is needed."""

    reference_id: str
    timestamp: datetime
    status: Status
    data: DisabilityData


class DisabilityResponse(_Out):
    """The answer; without a record where nobody is told of."""

    transaction_id: str
    correlation_id: str
    search_response: list[DisabilityAnswer]


class DisabilityReply(_Out):
    """Such an answer as it leaves."""

    signature: str
    header: Reply
    message: DisabilityResponse | None = None


class TxnStatus(_Out):
    """What became of requests; ``txn_status`` holds no record."""

    txn_type: Literal["search", "subscribe", "subscibe"]
    txn_status: SearchResponse


class TxnStatusResponse(_Out):
    """The answer to a question what became of requests."""

    transaction_id: str
    correlation_id: str
    txnstatus_response: TxnStatus


class TxnStatusReply(_Out):
    """Such an answer as it leaves."""

    signature: str
    header: Reply
    message: TxnStatusResponse | None = None


class Fault(_Out):
    """Why a message was not taken in."""

    code: str
    message: str


class Ack(_Out):
    """Whether a message was taken in."""

    ack_status: Literal["ACK", "NACK", "ERR"]
    timestamp: datetime
    correlation_id: str
    error: Fault | None = None


class Acknowledged(_Out):
    """What a message that is worked off later is answered with."""

    message: Ack


class Refused(_Out):
    """A message that was not taken in: as the standard's HttpErrorResponse, with an acknowledgement or a header beside it."""

    errors: list[Fault]
    code: str
    header: Reply | None = None
    message: Ack | None = None


class Token(_Out):
    """An access token; the standard writes its seconds as a text."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: str
    scope: str | None = None


def now() -> datetime:
    """The instant of an answer."""
    return datetime.now(UTC)

"""Questions and answers as they travel; the OpenAPI page is made of these."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

_EXAMPLE_ID = "019ca6b2-3c00-7d7c-88d5-5d7c0d1a9f00"
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,29}$", max_length=30)]
AttributeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,50}\.[a-z][a-z0-9_]{0,50}$", max_length=102)]
Consent = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]{0,63}$", max_length=64)]
# Whatever else a text may hold, control characters are no part of it; PostgreSQL cannot keep the first of them.
Printable = StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$")
# Any number an agency may issue; it is brought to one spelling before it is compared.
Number = Annotated[str, StringConstraints(min_length=4, max_length=40), Printable]
Name = Annotated[str, StringConstraints(min_length=1, max_length=60), Printable]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Wanted(_Question):
    """What is asked, and what for: the least that will do."""

    # An empty list, not a factory: of a factory FastAPI reads the signature with every request.
    purpose: Code = Field(description="Code of the purpose, from the catalogue.", examples=["low_income_review"])
    consent: Consent | None = Field(
        None, description="Reference of the person's authorisation, where the purpose needs one.", examples=["SQ-2026-0001"]
    )
    attributes: list[AttributeName] = Field(
        [], max_length=100, description="Attributes from the catalogue.", examples=[["person.name", "person.birth_date"]]
    )
    questions: list[Code] = Field([], max_length=50, description="Questions from the catalogue.", examples=[["insured"]])


class WantedThen(Wanted):
    """The same as parameters of an address, and as of when; a parameter it does not know is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    as_of: date | None = Field(None, description="What was true on this date; left out = whatever is newest.", examples=["2026-03-04"])
    known_at: datetime | None = Field(
        None,
        description="By what the hub knew at this instant; of China, where it names no zone. Left out = by what it knows now.",
        examples=["2026-03-06T08:00:00+08:00"],
    )


class Lookup(Wanted):
    """A person by resident identity number, or by name and date of birth."""

    resident_id: Number | None = Field(None, description="Resident identity number.", examples=["110101199003070003"])
    name: Name | None = Field(None, description="Name, together with birth_date.", examples=["王伟"])
    birth_date: date | None = Field(None, description="Date of birth, together with name.", examples=["1990-03-07"])

    @model_validator(mode="after")
    def _names_one_person(self) -> "Lookup":
        named = self.name is not None and self.birth_date is not None
        partly = self.name is not None or self.birth_date is not None
        if (self.resident_id is not None) == partly or partly != named:
            raise ValueError("give resident_id alone, or name and birth_date together")
        return self


class HouseholdLookup(Lookup):
    """The household of a person, who is named as in a look-up."""

    kind: Literal["registered", "living"] = Field(
        "living", description="`registered` = of the household register, `living` = those who live together."
    )


class Applicant(_Question):
    """One of many: by number or by the hub's id."""

    ref: str | None = Field(
        None, max_length=64, pattern=r"^[A-Za-z0-9._-]*$", description="The caller's own mark, given back.", examples=["row-17"]
    )
    resident_id: Number | None = None
    person_id: UUID | None = None

    @model_validator(mode="after")
    def _is_named_once(self) -> "Applicant":
        if (self.resident_id is None) == (self.person_id is None):
            raise ValueError("give resident_id or person_id, one of them")
        return self


class Comparison(Wanted):
    """Many persons at once."""

    applicants: list[Applicant] = Field(min_length=1, max_length=10_000, description="Whom it is about.")


class Disputed(_Answer):
    """Somebody says that the value is wrong, and its agency has been asked; until it answers, the value stays what it is."""

    since: date
    due: date = Field(description="By when the agency is to answer.")


class Value(_Answer):
    """One value of one source."""

    attribute: str
    effect: Literal["clear", "masked", "derived", "yes_no"] = Field(description="How it is told.")
    value: Any = Field(description="Null = the source holds none.")
    label: dict[str, str] | None = Field(None, description="Meaning of a coded value, zh and en.")
    source: str = Field(description="The agency, or `pool` for a value decided among agencies.")
    as_of_date: date = Field(description="Day of the agency's data.")
    is_stale: bool = Field(description="The agency's data of last night did not come.")
    disputed: Disputed | None = Field(
        None, description="Left out = nobody disputes it now; of a question to the past, by what the hub knew then."
    )


class Verdict(_Answer):
    """The answer to a question."""

    question: str
    answer: Literal["yes", "no", "unknown"]
    source: str
    as_of_date: date | None = Field(description="Day of the agency's data; null = it holds no record of the person.")
    is_stale: bool
    disputed: Disputed | None = Field(None, description="A field it rests on is disputed, in a record of the person; left out = none is.")


class Refusal(_Answer):
    """What was asked and is not told."""

    name: str
    reason: Literal["not_named", "refused"] = Field(description="not_named: the grant does not name it; refused: it refuses it.")


class ReceiptNote(_Answer):
    """Where the log keeps this answer."""

    receipt_id: UUID
    leaf_index: int


class HouseholdNote(_Answer):
    """A household of a person."""

    household_id: UUID
    kind: Literal["registered", "living"]


class Told(_Answer):
    """What is told of one person."""

    person_id: UUID
    values: list[Value]
    answers: list[Verdict]
    households: list[HouseholdNote] | None = None


class Header(_Answer):
    """What every answer says of itself."""

    purpose: str
    policy_version: str
    night: date = Field(description="The night the answer speaks of.")
    as_of: date | None = Field(None, description="Of a question to the past: the date named.")
    known_at: datetime | None = Field(None, description="Of a question to the past: the instant named.")
    refused: list[Refusal]


class Person(Header, Told):
    """One person."""

    receipt: ReceiptNote


class Candidate(_Answer):
    """A person the name and birth date may mean."""

    person_id: UUID
    confidence: float = Field(ge=0, le=1, description="Share of the records with this name and birth date that belong to this person.")
    has_number: bool = Field(description="Whether one of them carries a valid identity number.")


class Found(Header, Told):
    """One person, or up to five candidates to tell apart."""

    person_id: UUID | None  # type: ignore[assignment]
    candidates: list[Candidate] = Field(default_factory=list)
    receipt: ReceiptNote


class Member(Told):
    """A member of a household, with the relation to its head (GB/T 4761)."""

    relation: str | None
    relation_label: dict[str, str] | None = None
    receipt: ReceiptNote


class Sum(_Answer):
    """What an amount of the members comes to."""

    attribute: str = Field(examples=["medical_insurance.person_paid_yuan"])
    total_yuan: str = Field(description="Decimal, over all records of the members named here.", examples=["18230.50"])
    members: int = Field(description="Of how many members a source holds an amount.")
    is_stale: bool = Field(description="Data of last night did not come.")


class Household(Header):
    """One household; members the grant does not cover are left out."""

    household_id: UUID
    kind: Literal["registered", "living"]
    size: int | None = Field(description="All its members; null = not granted.")
    members: list[Member]
    sums: list[Sum] = Field(
        description="The amounts that were asked for and are told in clear, over the members named here; nothing that is not in their values."
    )


class Compared(_Answer):
    """One of many; not there, not yours and not told are all `not_available`."""

    ref: str | None
    status: Literal["told", "not_available", "ambiguous"]
    person_id: UUID | None = None
    values: list[Value] = Field(default_factory=list)
    answers: list[Verdict] = Field(default_factory=list)
    receipt: ReceiptNote


class ComparisonResult(Header):
    """Many persons, in the order they were named."""

    results: list[Compared]


class ProblemDetail(_Answer):
    """Why there is no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    next_step: str
    request_id: str
    errors: list[dict[str, str]] | None = None


class Token(_Answer):
    """An access token (RFC 6749 section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str | None = None


class TokenError(_Answer):
    """Why there is no token (RFC 6749 section 5.2)."""

    error: Literal["invalid_request", "invalid_client", "unsupported_grant_type", "invalid_scope", "temporarily_unavailable"]


class ReceiptDetail(_Answer):
    """An entry of the log, with what it takes to verify it without the hub."""

    receipt_id: UUID
    leaf_index: int
    body: str | None = Field(description="The entry's canonical JSON; null = erased by law.")
    salt: str | None = Field(description="Hex; null = erased.")
    tree_size: int
    inclusion: list[str] = Field(description="Audit path, hex, from the leaf up (RFC 6962 section 2.1.1).")
    checkpoint: str = Field(description="Signed tree head, C2SP checkpoint.")


class ReceiptPage(_Answer):
    """The department's own entries, newest first."""

    receipts: list[dict[str, Any]]
    next_cursor: str | None


class Proof(_Answer):
    """A Merkle proof, hex."""

    hashes: list[str]


class ToldAs(_Answer):
    """How something had been told."""

    name: str = Field(description="Attribute, or question with a ?.")
    effect: Literal["clear", "masked", "derived", "yes_no", "question"] | None = Field(description="Null = the entry was erased by law.")


class Recall(_Answer):
    """Something your department was told that turned out otherwise."""

    recall_id: UUID
    receipt_id: UUID = Field(description="Of the answer it is about.")
    told_at: datetime
    purpose: str
    person_id: UUID = Field(description="As you were given it.")
    persons: list[UUID] = Field(
        description="Who that is now; several = what you were told mixed them. Ask again by these for what is true."
    )
    changed: list[str] = Field(description="Attributes, and questions with a ?, that would be told otherwise.")
    told_as: list[ToldAs] = Field(description="How each of these had been told.")
    values: str = Field(description="Where to ask what you were told and what is true now; an answer with a receipt of its own.")
    cause: Literal["parted", "joined", "withdrawn", "corrected", "erased"]
    why: dict[str, str]
    stands: bool = Field(description="What you were told is right after all: an earlier recall is taken back.")
    night: date | None = Field(description="The night after which it was found; null = between nights.")
    found_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None = Field(description="The client that acknowledged it.")


class RecallPage(_Answer):
    """The department's recalls, oldest first."""

    recalls: list[Recall]
    next_cursor: UUID | None


class RecalledHousehold(HouseholdNote):
    """A household of a person as far as it was told; null = not told."""

    size: int | None
    relation: str | None


class ToldThen(Told):
    """What you were told, as the hub knew it then, in the forms of then or lesser ones."""

    known_at: datetime = Field(description="When you were told.")
    households: list[RecalledHousehold] | None = None  # type: ignore[assignment]
    receipt: ReceiptNote


class TrueNow(Told):
    """What is true of the same day by what the hub knows now; not there, not yours and not told are all `not_available`."""

    status: Literal["told", "not_available"]
    households: list[RecalledHousehold] | None = None  # type: ignore[assignment]
    receipt: ReceiptNote


class RecallValues(Header):
    """What you were told and what is true now, of what a recall is about. `as_of` is the day both speak of."""

    recall_id: UUID
    receipt_id: UUID = Field(description="Of the answer it is about.")
    cause: Literal["parted", "joined", "withdrawn", "corrected", "erased"]
    why: dict[str, str]
    stands: bool = Field(description="What you were told is right after all.")
    told: ToldThen | None = Field(description="Null = not available: somebody whose records these were is not there or not yours.")
    now: list[TrueNow] = Field(description="Whoever these records belong to now: one, or several where what you were told mixed them.")


class ConsentRequest(_Question):
    """What a person authorised the calling department to ask."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "purpose": "rehabilitation_aid",
                    "resident_id": "110101199003070003",
                    "reference": "SQ-2026-0001",
                    "valid_to": "2026-12-31",
                }
            ]
        }
    )
    purpose: Code
    resident_id: Number = Field(description="Of the person; a guardian signs for a child, the number is the child's.")
    reference: Consent = Field(description="Of the document, which stays at the department.")
    valid_from: date | None = Field(None, description="First day; left out = that of the last night.")
    valid_to: date = Field(description="Last day.")


class RegisteredConsent(_Answer):
    """A consent of the department; the person is known by the department's own reference."""

    consent_id: UUID
    purpose: str
    reference: str
    valid_from: date
    valid_to: date
    registered_at: datetime
    registered_by: str = Field(description="The client.")
    withdrawn_at: datetime | None = Field(description="From then on it does not hold; null = it was not withdrawn.")


class ConsentPage(_Answer):
    """The department's consents, oldest first."""

    consents: list[RegisteredConsent]
    next_cursor: UUID | None


class DisputeRequest(_Question):
    """A value your department was told that somebody says is wrong. The person is named once more: the log knows it by a pseudonym alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "receipt_id": "5f0c9c1e-8a37-4d0b-9a52-6f3f1f0f7b21", "person_id": _EXAMPLE_ID, "attribute": "housing.monthly_rent_yuan",
                    "kind": "recheck", "reason": "outdated", "details": "以2026年2月的新租赁合同为准",
                }
            ]
        }
    )  # fmt: skip
    receipt_id: UUID = Field(description="Of the answer that told the value; your department's own.")
    attribute: AttributeName = Field(description="Of that answer.")
    person_id: UUID | None = Field(None, description="Whom the receipt is about; or by number.")
    resident_id: Number | None = Field(None, description="Whom the receipt is about, where the purpose lets you name persons by number.")
    consent: Consent | None = Field(None, description="Reference of the person's authorisation, where the purpose needs one.")
    kind: Literal["correction", "objection", "recheck"] = Field(
        description="correction = you use the value; objection = the person says so; recheck = an applicant against the check of the family's economic situation."
    )
    reason: Literal["wrong", "outdated", "not_mine"] = Field(description="Of the value; not_mine = it is another person's.")
    details: Annotated[str, Printable] | None = Field(
        None,
        min_length=2,
        max_length=500,
        description="What the agency is told beside; kept sealed, and given back to nobody over this interface.",
    )

    @model_validator(mode="after")
    def _is_named_once(self) -> "DisputeRequest":
        if (self.resident_id is None) == (self.person_id is None):
            raise ValueError("give person_id or resident_id, one of them")
        return self


class Dispute(_Answer):
    """A value your department disputes, in one record of its agency."""

    dispute_id: UUID
    continues: UUID | None = Field(
        description="The dispute it goes on from: the delivery that had answered that one was withdrawn, and the value is back. Null = somebody opened it."
    )
    receipt_id: UUID = Field(description="Of the answer that told the value.")
    attribute: str
    source: str = Field(description="The agency it is asked of; of a golden value, whose record it comes from.")
    kind: Literal["correction", "objection", "recheck"]
    reason: Literal["wrong", "outdated", "not_mine"]
    opened_by: str = Field(description="The client.")
    opened_date: date
    due_date: date = Field(description="By when the agency is to answer: ten working days, unless the hub says otherwise.")
    state: Literal["open", "answered_by_delivery", "refused", "withdrawn"] = Field(
        description="answered_by_delivery = the agency delivered another value, or holds the record no more; withdrawn = it was taken back, or the person was erased by law."
    )
    is_overdue: bool = Field(description="It is open, or was answered, after its due date.")
    ended_date: date | None = Field(description="Null = it is open.")
    refusal: str | None = Field(description="Why the agency stands by its value; null = it was not refused.")


class DisputeList(_Answer):
    """What was opened: one a record of the person that the agency holds; one that was disputed already is left out."""

    disputes: list[Dispute]


class DisputePage(DisputeList):
    """The department's disputes, oldest first."""

    next_cursor: UUID | None


class EmergencyRequest(_Question):
    """Who breaks the glass, and why. No value of a person."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"purpose": "emergency_rescue", "operator": "王工", "reason": "第1镇第6村山体滑坡，搜救失联人员"}]}
    )
    purpose: Code
    operator: Annotated[str, Printable] = Field(min_length=2, max_length=60, description="The person at the department who asks.")
    reason: Annotated[str, Printable] = Field(min_length=8, max_length=500, description="What has happened; it is read by a reviewer.")


class Emergency(_Answer):
    """An emergency of the calling client."""

    emergency_id: UUID
    purpose: str
    operator: str
    reason: str
    persons: int = Field(description="Of how many it may be told.")
    told: int = Field(description="Of how many it was told.")
    opened_at: datetime
    closes_at: datetime
    closed_at: datetime | None = Field(description="Null = it ends by itself.")
    finding: Literal["justified", "unjustified"] | None = Field(description="Of the review; null = there was none yet.")


class EmergencyList(_Answer):
    """The client's emergencies, newest first."""

    emergencies: list[Emergency]


class WatchedSubject(_Question):
    """A person or household to be told the changes of."""

    id: UUID = Field(description="The hub's id.", examples=[_EXAMPLE_ID])
    ref: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="The caller's own mark, given back with each notice.",
        examples=["row-17"],
    )


class SubscriptionRequest(Wanted):
    """What to be told the changes of: attributes and questions of persons or households that are named, or for whom a question is answered by yes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "purpose": "roster_monitoring", "kind": "person", "questions": ["insured"], "address": "https://desk.example/notices",
                    "subjects": [{"id": _EXAMPLE_ID, "ref": "row-17"}],
                },
                {"purpose": "roster_monitoring", "kind": "condition", "questions": ["severely_disabled"]},
            ]
        }
    )  # fmt: skip
    kind: Literal["person", "household", "condition"]
    subjects: list[WatchedSubject] = Field(
        default_factory=list, max_length=10_000, description="Persons or households; none with a condition."
    )
    address: Annotated[str, Printable] | None = Field(
        None, max_length=500, description="Where notices are sent; left out = they are fetched.", examples=["https://desk.example/notices"]
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "SubscriptionRequest":
        if self.kind == "condition" and (self.subjects or self.attributes or len(self.questions) != 1):
            raise ValueError("a condition is one question, without subjects and attributes")
        if self.kind != "condition" and not self.subjects:
            raise ValueError("name the subjects")
        return self


class Subscription(_Answer):
    """A subscription of the calling client."""

    subscription_id: UUID
    purpose: str
    kind: Literal["person", "household", "condition"]
    attributes: list[str]
    questions: list[str]
    address: str | None = Field(description="Null = notices are fetched.")
    state: Literal["active", "paused", "suspended"] = Field(
        description="suspended: the policy does not grant it any more, nothing is sent."
    )
    tries: int = Field(description="Failures to reach the receiver since it last answered.")
    next_try_at: datetime | None = Field(description="Null = at once.")
    created_at: datetime


class NewSubscription(Subscription):
    """A subscription that was just made."""

    secret: str = Field(description="By which notices are signed (Standard Webhooks); shown this once.")
    refused: list[Refusal] = Field(description="What was named and is not told, so that its changes are not either.")
    receipt: ReceiptNote


class SecretRotation(_Question):
    """How the former secret ends."""

    keep_hours: int = Field(24, ge=0, le=720, description="How long notices are signed by the former secret as well; 0 = it ends at once.")


class RotatedSecret(_Answer):
    """A subscription's secret, given anew."""

    subscription_id: UUID
    secret: str = Field(description="By which notices are signed from now on; shown this once.")
    former_secret_until: datetime | None = Field(description="Until when notices are signed by the former one as well; null = it ended.")


class SubscriptionList(_Answer):
    """The client's subscriptions, oldest first."""

    subscriptions: list[Subscription]


class NoticeData(_Answer):
    """What changed; what it is now is to be asked for."""

    notice_id: UUID = Field(description="The same on every try: what was dealt with once need not be again.")
    cursor: str = Field(description="Grows with every notice of a subscription.")
    subscription_id: UUID
    purpose: str
    subject_id: UUID = Field(description="As it was named; of a condition, the person.")
    ref: str | None = Field(description="The client's own mark.")
    question: str | None = Field(description="The condition's question; null = none.")
    night: date | None
    receipt_id: UUID


class Notice(_Answer):
    """A notice, as it is sent and as it is fetched."""

    type: Literal["person.changed", "household.changed", "condition.began", "condition.ended"]
    timestamp: datetime = Field(description="When the change was found.")
    data: NoticeData


class NoticePage(_Answer):
    """Notices behind a cursor, oldest first."""

    notices: list[Notice]
    cursor: str = Field(description="Of the last one; that of the question where there is none. To be given next time.")
    has_more: bool


class Replay(_Question):
    """What is to be sent again."""

    cursor: str = Field("0", pattern=r"^[0-9]{1,18}$", description="Only notices behind it.", examples=["0"])
    dead_only: bool = Field(False, description="Only those that were given up.")


class Replayed(_Answer):
    """How many notices wait again."""

    replayed: int


class TestDelivery(_Answer):
    """What became of a test notice."""

    is_taken: bool
    status: int | None = Field(description="The receiver's; null = it did not answer.")
    fault: str | None


class ExportRequest(_Question):
    """What to export of everybody a grant covers."""

    purpose: Code = Field(description="Code of the purpose, from the catalogue.", examples=["roster_monitoring"])
    attributes: list[AttributeName] = Field(
        default_factory=list, max_length=100, description="Attributes from the catalogue.", examples=[["person.area_code"]]
    )
    questions: list[Code] = Field(default_factory=list, max_length=50, description="Questions from the catalogue.", examples=[["insured"]])


class Export(_Answer):
    """An export of the calling client."""

    export_id: UUID
    purpose: str
    attributes: list[str]
    questions: list[str]
    since: str = Field(description="How often it was begun; a stream's last line says what to hand back as `_since`.")
    created_at: datetime


class ExportList(_Answer):
    """The client's exports, oldest first."""

    exports: list[Export]


class CompareJobRequest(Wanted):
    """A comparison to be handed in as a job; the list itself comes afterwards."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"purpose": "roster_monitoring", "attributes": ["person.name"], "questions": ["insured"], "output": "csv"}]
        }
    )
    output: Literal["csv", "ndjson", "parquet"] = Field("ndjson", description="Format in which the answers are handed out.")


class JobProblem(_Answer):
    """Why a job failed."""

    code: str
    title: str
    next_step: str


class CompareJob(_Answer):
    """A comparison of the calling client that is worked off as a job."""

    job_id: UUID
    purpose: str
    attributes: list[str]
    questions: list[str]
    refused: list[Refusal] = Field(description="What was named and is not told.")
    output: Literal["csv", "ndjson", "parquet"]
    state: Literal["waiting_for_input", "queued", "running", "done", "failed", "cancelled"]
    problem: JobProblem | None = Field(description="Why it failed; null = it did not.")
    input_bytes: int = Field(description="How many bytes of the list came: where an upload that broke off goes on.")
    rows: int = Field(description="Of the list, by its lines; exact once it is done.")
    rows_done: int = Field(description="Read and answered.")
    told: int = Field(description="Rows that found somebody of whom something is told.")
    not_available: int = Field(description="Rows of whom nothing is told: not there, not yours and not told, together.")
    ambiguous: int = Field(description="Rows that fit several persons.")
    malformed: int = Field(description="Rows that could not be read.")
    rows_per_s: float | None = Field(description="Null = none was done yet.")
    seconds_left: int | None = Field(description="By the rate so far; null = not known, or nothing is left.")
    paused_until: datetime | None = Field(
        description="Too many rows found nobody, or the pool did not answer: it goes on by itself then. Null = it is not paused."
    )
    output_bytes: int | None = Field(description="Null = there is no output to be fetched.")
    created_at: datetime
    ended_at: datetime | None
    expires_at: datetime | None = Field(description="When it is forgotten, with list and answers; null = it is at work.")


class CompareJobList(_Answer):
    """The client's jobs, oldest first."""

    jobs: list[CompareJob]

"""A contract: what one agency delivers, field by field, in the Open Data Contract Standard v3.1.

The YAML file beside this module is the only list of an agency's fields. Staging and core tables, Arrow schema,
expectations, catalogue and simulated agency derive from it.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, cast

import jsonschema
import yaml
from croniter import croniter

from hub.errors import ContractError
from schemas.codes import code_set_exists
from schemas.concepts import load_concepts

SCHEMAS_DIR = Path(__file__).resolve().parent

LogicalType = Literal["string", "integer", "number", "date", "timestamp", "boolean"]
Severity = Literal["critical", "error", "warning"]
Level = Literal["delivery", "row"]

# ODCS logical type → PostgreSQL type when the contract names none.
# Concepts of keys and marks of an agency's own bookkeeping: they say nothing about a person.
BOOKKEEPING = ("record.key", "record.updated_at", "record.change_flag")
_PHYSICAL_TYPES = {
    "string": "text",
    "integer": "bigint",
    "number": "numeric",
    "date": "date",
    "timestamp": "timestamptz",
    "boolean": "boolean",
}
_PHYSICAL_TYPE = re.compile(
    r"(text|varchar\(\d+\)|char\(\d+\)|bigint|integer|smallint|numeric(\(\d+,\s*\d+\))?|date|timestamptz|timestamp|boolean)"
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
# libyaml reads a contract in a tenth of the time; a build of PyYAML without it is as good.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPERATORS = {
    "mustBe": "=",
    "mustNotBe": "!=",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
    "mustBeBetween": "between",
    "mustNotBeBetween": "not between",
}


class Scope(StrEnum):
    """How much of an agency's stock a delivery covers."""

    FULL = "full"  # every key the agency holds: a key that is absent has been withdrawn
    DELTA = "delta"  # what changed since a date: absence says nothing


@dataclass(frozen=True)
class Quality:
    """One quality rule written in a contract.

    Attributes:
        rule_id: stable name, unique in the contract.
        metric: ODCS library metric (nullValues, missingValues, invalidValues, duplicateValues, rowCount).
        field: name of the field judged; None when the whole delivery is.
        operator: how the metric is compared with the threshold; None when nothing is compared.
        threshold: number, or pair of numbers for ``between``.
        unit: what the threshold counts.
    """

    rule_id: str
    metric: str
    field: str | None
    severity: Severity
    level: Level
    operator: str | None
    threshold: Any
    unit: Literal["rows", "percent"]
    title_zh: str
    title_en: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of an agency's record.

    Attributes:
        name: column name in the hub.
        physical_name: the agency's own column name.
        physical_type: PostgreSQL type of the column.
        code_set: name of the code set its values come from; None when free.
        concept: canonical concept it carries (``schemas/concepts.yml``); None when only this agency has it.
        classification: public, internal, personal or sensitive (Personal Information Protection Law art. 28).
        date_formats: strptime formats the agency may send, the usual one first.
        synonyms: other headers the agency is known to use for this field.
        synthetic: how the simulated county fills it.
    """

    name: str
    physical_name: str
    title_zh: str
    title_en: str
    logical_type: LogicalType
    physical_type: str
    required: bool
    is_key: bool
    code_set: str | None
    concept: str | None
    classification: str
    legal_basis: str | None
    max_length: int | None
    pattern: str | None
    minimum: float | None
    maximum: float | None
    date_formats: tuple[str, ...]
    truth_values: tuple[str, ...]
    false_values: tuple[str, ...]
    synonyms: tuple[str, ...]
    synthetic: dict[str, Any]
    quality: tuple[Quality, ...]


@dataclass(frozen=True)
class Timeouts:
    """Limits of waiting on an agency, in seconds, by phase of a call."""

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float


@dataclass(frozen=True)
class Volume:
    """What a delivery is compared with: the source's recent nights of the same scope.

    Attributes:
        minimum_ratio, maximum_ratio: rows over the median of those nights.
        recent_nights: how many of them count.
        maximum_withdrawn: share of the source's keys that a full delivery may withdraw, unless more is usual.
        maximum_withdrawn_local: the same of the keys of one township, or of one range of keys.
    """

    minimum_ratio: float
    maximum_ratio: float
    recent_nights: int
    maximum_withdrawn: float
    maximum_withdrawn_local: float


@dataclass(frozen=True)
class Delivery:
    """How and when an agency delivers.

    Attributes:
        schedule: cron of the nightly pull, Asia/Shanghai; its day fields say on which days a delivery is due.
        full_schedule: cron whose day fields say when a full snapshot is asked for; None = only into an empty pool.
        deadline: time of the night after which the pool is unified without this source, Asia/Shanghai.
        records_path: where the rows are in a JSON page; a segment ending in ``!`` is a string holding JSON.
        declares: what the agency states about its own delivery: rows, sha256, as_of.
        page_size: rows per page or fetch; unit rows.
        pool_slots: calls at one time the agency allows.
    """

    protocol: str
    media: str
    encoding: str
    schedule: str
    full_schedule: str | None
    deadline: time
    scopes: tuple[Scope, ...]
    declares: tuple[str, ...]
    records_path: str | None
    timeouts: Timeouts
    retries: int
    page_size: int
    volume: Volume
    pool_slots: int

    def is_due(self, business_date: date) -> bool:
        """Whether the agency owes a delivery on that business date."""
        return _day_matches(self.schedule, business_date)

    def scope_on(self, business_date: date) -> Scope:
        """The scope to ask for on that business date, given that earlier data is in the pool."""
        if Scope.DELTA not in self.scopes:
            return Scope.FULL
        if Scope.FULL in self.scopes and self.full_schedule and _day_matches(self.full_schedule, business_date):
            return Scope.FULL
        return Scope.DELTA


def _day_matches(cron: str, day: date) -> bool:
    """Whether the day fields of a cron expression include a day."""
    days = " ".join(["0", "0", *cron.split()[2:]])
    return bool(croniter.match(days, datetime.combine(day, time())))


@dataclass(frozen=True)
class Contract:
    """What one agency delivers; grain of its records: one row per value of :attr:`key`.

    Attributes:
        stem: name of the source in the hub, and of its four files.
        team: who at the agency answers for the data.
        contact: how they are reached.
        authority: 1–100; where agencies disagree and nothing else decides, the larger is believed.
        synthetic: how the simulated county selects the records this agency holds.
        path: the YAML file.
    """

    stem: str
    title_zh: str
    title_en: str
    version: str
    agency_zh: str
    agency_en: str
    team: str
    contact: str
    legal_basis: tuple[str, ...]
    authority: int
    fields: tuple[Field, ...]
    quality: tuple[Quality, ...]
    delivery: Delivery
    synthetic: dict[str, Any]
    path: Path

    @property
    def owner(self) -> str:
        """Who at the agency is asked."""
        return "，".join(filter(None, (self.team, self.contact)))

    @cached_property
    def key(self) -> Field:
        """The field that identifies a record at the agency."""
        return next(f for f in self.fields if f.is_key)

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {f.name: f for f in self.fields}

    @cached_property
    def _by_concept(self) -> dict[str, Field]:
        return {f.concept: f for f in self.fields if f.concept}

    def by_name(self, name: str) -> Field:
        """The field with a name.

        Raises:
            ContractError: the contract has no such field.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise ContractError(f"the contract has no field {name!r}", where=f"schemas/{self.path.name}") from None

    def by_concept(self, concept: str) -> Field | None:
        """The field that carries a canonical concept; None when the agency does not have it."""
        return self._by_concept.get(concept)


@cache
def _standard() -> jsonschema.protocols.Validator:
    text = files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft201909Validator(json.loads(text))


def _properties(node: dict[str, Any]) -> dict[str, Any]:
    return {p["property"]: p.get("value") for p in node.get("customProperties") or []}


# Everything the hub reads from the parts the standard leaves open; another name there is a slip of the pen.
_KNOWN = {
    "top": ("stem", "authority", "agencyZh", "agencyEn", "legalBasis", "delivery", "synthetic"),
    "field": ("codeSet", "concept", "legalBasis", "dateFormats", "truthValues", "falseValues", "synthetic"),
    "quality": ("level", "titleZh"),
    "delivery": ("protocol", "media", "recordsPath", "encoding", "scopes", "declares", "pageSize", "volume", "poolSlots"),
    "volume": ("minimumRatio", "maximumRatio", "recentNights", "maximumWithdrawn", "maximumWithdrawnLocal"),
    "sla": (
        "schedule", "fullSchedule", "deadline", "connectTimeout", "firstByteTimeout", "idleTimeout", "totalTimeout", "retries",
    ),
}  # fmt: skip


class _Reader:
    """Turns one contract document into frozen values; every complaint names file and field."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, pointer: str, message: str) -> ContractError:
        return ContractError(
            message, where=f"schemas/{self.path.name}{'' if not pointer else ' ' + pointer}", next_step="correct the contract"
        )

    def document(self) -> dict[str, Any]:
        try:
            document = yaml.load(self.path.read_text(encoding="utf-8"), Loader=_LOADER)
        except FileNotFoundError:
            known = ", ".join(stems(self.path.parent))
            raise ContractError(f"there is no source {self.path.stem!r}", next_step=f"known sources: {known}") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f"line {mark.line + 1}" if mark else ""
            raise self.fail(line, f"not YAML: {getattr(error, 'problem', 'cannot be read')}") from None
        # Instants and dates are read by YAML as objects; the standard's schema knows strings.
        document = json.loads(json.dumps(document, default=str, ensure_ascii=False))
        broken = jsonschema.exceptions.best_match(_standard().iter_errors(document))
        if broken is not None:
            raise self.fail("/".join(str(p) for p in broken.absolute_path) or "top", f"breaks ODCS: {broken.message[:200]}")
        return dict(document)

    def need(self, node: dict[str, Any], name: str, pointer: str) -> Any:
        if node.get(name) in (None, "", []):
            raise self.fail(f"{pointer}.{name}", "missing")
        return node[name]

    def only_known(self, node: dict[str, Any], part: str, pointer: str) -> dict[str, Any]:
        unknown = sorted(set(node) - set(_KNOWN[part]))
        if unknown:
            raise self.fail(f"{pointer}.{unknown[0]}", f"is not known here; known are {', '.join(_KNOWN[part])}")
        return node

    def number(self, node: dict[str, Any], name: str, default: float, pointer: str) -> float:
        value = node.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self.fail(f"{pointer}.{name}", "must be a number that is not negative")
        return float(value)

    def contract(self) -> Contract:
        doc = self.document()
        top = self.only_known(_properties(doc), "top", "customProperties")
        stem = self.need(top, "stem", "customProperties")
        if stem != self.path.stem:
            raise self.fail("customProperties.stem", f"is {stem!r} but the file is named {self.path.stem!r}")
        objects = self.need(doc, "schema", "")
        if len(objects) != 1:
            raise self.fail("schema", "must hold exactly one object: one grain per contract")
        schema = objects[0]
        fields = tuple(self.field(node) for node in self.need(schema, "properties", "schema[0]"))
        for what, values in (("name", [f.name for f in fields]), ("physicalName", [f.physical_name for f in fields])):
            double = {v for v in values if values.count(v) > 1}
            if double:
                raise self.fail("schema[0].properties", f"{what} used twice: {', '.join(sorted(double))}")
        if sum(f.is_key for f in fields) != 1:
            raise self.fail("schema[0].properties", "exactly one field must have primaryKey: true")
        contact = next((s.get("description") or s.get("channel") for s in doc.get("support") or []), None)
        authority = self.need(top, "authority", "customProperties")
        if not (isinstance(authority, int) and 1 <= authority <= 100):
            raise self.fail("customProperties.authority", "must be a whole number from 1 to 100")
        return Contract(
            stem=stem,
            title_zh=schema.get("businessName") or doc.get("name") or stem,
            title_en=schema.get("description") or stem,
            version=doc["version"],
            agency_zh=self.need(top, "agencyZh", "customProperties"),
            agency_en=self.need(top, "agencyEn", "customProperties"),
            team=(doc.get("team") or {}).get("name") or "",
            contact=contact or "",
            legal_basis=tuple(self.need(top, "legalBasis", "customProperties")),
            authority=authority,
            fields=fields,
            quality=tuple(self.quality(q, None) for q in schema.get("quality") or []),
            delivery=self.delivery(doc, self.need(top, "delivery", "customProperties")),
            synthetic=top.get("synthetic") or {},
            path=self.path,
        )

    def field(self, node: dict[str, Any]) -> Field:
        name = node.get("name") or "?"
        pointer = f"field {name}"
        if not _NAME.fullmatch(name):
            raise self.fail(pointer, "a field name is lower-case letters, digits and _")
        logical = self.need(node, "logicalType", pointer)
        if logical not in _PHYSICAL_TYPES:
            raise self.fail(f"{pointer}.logicalType", f"must be one of {', '.join(_PHYSICAL_TYPES)}")
        physical = node.get("physicalType") or _PHYSICAL_TYPES[logical]
        if not _PHYSICAL_TYPE.fullmatch(physical):
            raise self.fail(f"{pointer}.physicalType", "is not a PostgreSQL type the hub uses")
        own = _properties(node)
        self.only_known(own, "field", pointer)
        code_set = own.get("codeSet")
        if code_set and not code_set_exists(code_set):
            raise self.fail(f"{pointer}.codeSet", f"there is no schemas/codes/{code_set}.csv")
        concept = own.get("concept")
        if concept and concept not in load_concepts():
            raise self.fail(f"{pointer}.concept", "is not in schemas/concepts.yml")
        options = node.get("logicalTypeOptions") or {}
        if options.get("pattern"):
            try:
                re.compile(options["pattern"])
            except re.error:
                raise self.fail(f"{pointer}.logicalTypeOptions.pattern", "is not a regular expression") from None
        return Field(
            name=name,
            physical_name=self.need(node, "physicalName", pointer),
            title_zh=self.need(node, "businessName", pointer),
            title_en=self.need(node, "description", pointer),
            logical_type=logical,
            physical_type=physical,
            required=bool(node.get("required")),
            is_key=bool(node.get("primaryKey")),
            code_set=code_set,
            concept=concept,
            classification=self.need(node, "classification", pointer),
            legal_basis=own.get("legalBasis"),
            max_length=options.get("maxLength"),
            pattern=options.get("pattern"),
            minimum=options.get("minimum"),
            maximum=options.get("maximum"),
            date_formats=tuple(own.get("dateFormats") or ()),
            truth_values=tuple(own.get("truthValues") or ("true", "1", "是", "Y")),
            false_values=tuple(own.get("falseValues") or ("false", "0", "否", "N")),
            synonyms=tuple(s["synonym"] for s in node.get("synonyms") or ()),
            synthetic=own.get("synthetic") or {},
            quality=tuple(self.quality(q, name) for q in node.get("quality") or []),
        )

    def quality(self, node: dict[str, Any], field: str | None) -> Quality:
        pointer = f"quality {node.get('id') or '?'}"
        own = _properties(node)
        self.only_known(own, "quality", pointer)
        severity = node.get("severity") or "warning"
        if severity not in ("critical", "error", "warning"):
            raise self.fail(f"{pointer}.severity", "must be critical, error or warning")
        level = own.get("level") or ("delivery" if severity == "critical" else "row")
        operator = next((key for key in _OPERATORS if node.get(key) is not None), None)
        return Quality(
            rule_id=self.need(node, "id", pointer),
            metric=node.get("metric") or "",
            field=field,
            severity=cast(Severity, severity),
            level=cast(Level, level),
            operator=_OPERATORS[operator] if operator else None,
            threshold=node.get(operator) if operator else None,
            unit=node.get("unit") or "rows",
            title_zh=own.get("titleZh") or node.get("description") or node["id"],
            title_en=node.get("description") or node["id"],
            arguments=node.get("arguments") or {},
        )

    def delivery(self, doc: dict[str, Any], node: dict[str, Any]) -> Delivery:
        sla = {p["property"]: p.get("value") for p in doc.get("slaProperties") or []}
        pointer = "slaProperties"
        self.only_known(sla, "sla", pointer)
        if not isinstance(node, dict):
            raise self.fail("delivery", "must be a mapping")
        self.only_known(node, "delivery", "delivery")
        schedule = str(self.need(sla, "schedule", pointer))
        for name in ("schedule", "fullSchedule"):
            if sla.get(name) and not croniter.is_valid(str(sla[name])):
                raise self.fail(f"{pointer}.{name}", "is not a cron expression")
        try:
            deadline = time.fromisoformat(str(self.need(sla, "deadline", pointer)))
        except ValueError:
            raise self.fail(f"{pointer}.deadline", "must be a time of day, HH:MM") from None
        volume = self.only_known(node.get("volume") or {}, "volume", "delivery.volume")
        try:
            scopes = tuple(Scope(s) for s in self.need(node, "scopes", "delivery"))
        except ValueError:
            raise self.fail("delivery.scopes", "must be full, delta or both") from None
        return Delivery(
            protocol=self.need(node, "protocol", "delivery"),
            media=self.need(node, "media", "delivery"),
            encoding=node.get("encoding") or "utf-8",
            schedule=schedule,
            full_schedule=str(sla["fullSchedule"]) if sla.get("fullSchedule") else None,
            deadline=deadline,
            scopes=scopes,
            declares=tuple(node.get("declares") or ()),
            records_path=node.get("recordsPath"),
            timeouts=Timeouts(
                connect_s=self.number(sla, "connectTimeout", 10, pointer),
                first_byte_s=self.number(sla, "firstByteTimeout", 60, pointer),
                idle_s=self.number(sla, "idleTimeout", 60, pointer),
                total_s=self.number(sla, "totalTimeout", 3600, pointer),
            ),
            retries=int(self.number(sla, "retries", 3, pointer)),
            page_size=int(self.number(node, "pageSize", 5000, "delivery")),
            volume=Volume(
                minimum_ratio=self.number(volume, "minimumRatio", 0.7, "delivery.volume"),
                maximum_ratio=self.number(volume, "maximumRatio", 1.5, "delivery.volume"),
                recent_nights=int(self.number(volume, "recentNights", 14, "delivery.volume")),
                maximum_withdrawn=self.number(volume, "maximumWithdrawn", 0.1, "delivery.volume"),
                maximum_withdrawn_local=self.number(volume, "maximumWithdrawnLocal", 0.3, "delivery.volume"),
            ),
            pool_slots=int(self.number(node, "poolSlots", 1, "delivery")),
        )


def stems(folder: Path = SCHEMAS_DIR) -> tuple[str, ...]:
    """The sources the hub knows, by name: one per contract file."""
    found = []
    for path in sorted(folder.glob("*.yml")):
        with path.open(encoding="utf-8") as lines:
            if any(line.startswith("kind: DataContract") for line in lines):
                found.append(path.stem)
    return tuple(found)


@cache
def load_contract(stem: str, folder: Path = SCHEMAS_DIR) -> Contract:
    """The contract of one source.

    Raises:
        ContractError: there is none, or it breaks the standard or the hub's conventions; file and field are named.
    """
    return _Reader(folder / f"{stem}.yml").contract()


def readable_contracts() -> dict[str, Contract]:
    """The contracts that are right, by stem: a wrong one takes its own source out and no other."""
    found = {}
    for stem in stems():
        with suppress(ContractError):
            found[stem] = load_contract(stem)
    return found


def load_contracts(folder: Path = SCHEMAS_DIR) -> dict[str, Contract]:
    """All contracts by stem, in order of stem.

    Raises:
        ContractError: see :func:`load_contract`.
    """
    return {stem: load_contract(stem, folder) for stem in stems(folder)}

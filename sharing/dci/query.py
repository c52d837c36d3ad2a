"""What a search asks for: one person or household it names, and conditions that narrow the answer down.

A search names whom it means: by an identifier, or by a name together with a birth date. A search that names nobody would be a list to
browse, and is not answered however few it would find.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sharing import decide
from sharing.dci.codes import Rejected
from sharing.dci.mapping import Searchable, mapping
from sharing.dci.models import Entity, Expression, Predicate, QueryType, TypedQuery

_MOST_TESTS, _DEEPEST = 32, 8
_ALIASES = {"gte": "ge", "lte": "le"}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b, "gt": lambda a, b: a > b, "lt": lambda a, b: a < b, "ge": lambda a, b: a >= b, "le": lambda a, b: a <= b,
    "in": lambda a, b: a in b,
}  # fmt: skip


@dataclass(frozen=True)
class Test:
    """One attribute compared; ``value`` is of the attribute's kind, a tuple where the operator is ``in``."""

    name: str
    searched: Searchable
    operator: str
    value: Any


@dataclass(frozen=True)
class Both:
    """All parts hold."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Either:
    """One part holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Neither:
    """The part does not hold."""

    part: "Condition"


Condition = Test | Both | Either | Neither


@dataclass(frozen=True)
class Search:
    """A search that is understood.

    Attributes:
        by: way of looking up.
        value: number, id or name.
        birth_date: with a name; None otherwise.
        narrowing: what must hold of whoever is found; empty = nothing more.
    """

    entity: Entity
    by: Literal["resident_id", "person_id", "household_id", "name_birth_date"]
    value: str
    birth_date: date | None = None
    narrowing: tuple[Condition, ...] = ()


def _filter() -> Rejected:
    return Rejected("search", "rjct.filter.invalid")


def understood(query_type: QueryType, query: TypedQuery | list[Predicate], entity: Entity | None) -> Search:
    """What a search asks for; ``entity`` None = what the query is about.

    Raises:
        Rejected: it cannot be searched in this way.
    """
    if query_type == "idtype-value":
        if not isinstance(query, TypedQuery):
            raise Rejected("search", "rjct.search_criteria.invalid")
        return _by_identifier(query, entity)
    condition = _of_predicates(query) if isinstance(query, list) else _of_expression(query.value)
    return _named(condition, entity or "Member")


def _by_identifier(query: TypedQuery, entity: Entity | None) -> Search:
    kind = mapping().identifiers.get(query.type)
    if kind is None or isinstance(query.value, dict | bool):
        raise Rejected("search", "rjct.search_criteria.invalid")
    if kind.entity == "Group" and entity == "Member":
        raise Rejected("search", "rjct.search_criteria.invalid")
    return Search(entity or kind.entity, kind.by, _text(query.value))


def _text(value: Any) -> str:
    found = str(value).strip()
    if not found or len(found) > 60 or any(ord(c) < 32 or ord(c) == 127 for c in found):
        raise _filter()
    return found


def _value(searched: Searchable, value: Any) -> Any:
    """A value to compare with, of the attribute's kind."""
    if isinstance(value, dict):
        raise _filter()
    if searched.kind == "date":
        try:
            return date.fromisoformat(str(value)[:10])
        except ValueError:
            raise _filter() from None
    if searched.kind == "age":
        try:
            return float(value)
        except (TypeError, ValueError):
            raise _filter() from None
    if searched.kind == "code" and str(value) not in mapping().codes[searched.codes or ""].values():
        raise _filter()
    return _text(value)


def _test(name: str, operator: str, value: Any) -> Test:
    searched = mapping().search.get(name)
    operator = _ALIASES.get(operator, operator)
    if searched is None or operator not in _COMPARED:
        raise _filter()
    if searched.kind in ("text", "code") and operator not in ("eq", "in"):
        raise _filter()
    if operator == "in":
        values = value.split(",") if isinstance(value, str) else value
        if not isinstance(values, list) or not 0 < len(values) <= _MOST_TESTS:
            raise _filter()
        return Test(name, searched, operator, tuple(_value(searched, v) for v in values))
    if isinstance(value, list):
        raise _filter()
    return Test(name, searched, operator, _value(searched, value))


def _of_predicates(predicates: list[Predicate]) -> Condition:
    def of(expression: Expression) -> Test:
        return _test(expression.attribute_name, expression.operator, expression.attribute_value)

    parts: list[Condition] = []
    for predicate in sorted(predicates, key=lambda p: p.seq_num or 0):
        first = of(predicate.expression1)
        second = None if predicate.expression2 is None else of(predicate.expression2)
        if predicate.condition == "not":
            parts += [Neither(first)] if second is None else [first, Neither(second)]
        elif second is None:
            parts.append(first)
        else:
            parts.append(Either((first, second)) if predicate.condition == "or" else Both((first, second)))
    return Both(tuple(parts))


def _of_expression(value: Any) -> Condition:
    node = value.get("expression", value) if isinstance(value, dict) else None
    node = node.get("query", node) if isinstance(node, dict) else None
    if not isinstance(node, dict) or not node:
        raise _filter()
    count = [0]
    return _of_node(node, count, 0)


def _of_node(node: Any, count: list[int], depth: int) -> Condition:
    """One object of an expression; its members hold together."""
    if not isinstance(node, dict) or not node or depth > _DEEPEST:
        raise _filter()
    parts: list[Condition] = []
    for name, value in node.items():
        key = name.removeprefix("$")
        if key in ("and", "or"):
            if not isinstance(value, list) or not value:
                raise _filter()
            inner = tuple(_of_node(v, count, depth + 1) for v in value)
            parts.append(Both(inner) if key == "and" else Either(inner))
        elif key == "not":
            parts.append(Neither(_of_node(value, count, depth + 1)))
        else:
            tests = value if isinstance(value, dict) else {"eq": value}
            if not tests:
                raise _filter()
            parts += [_test(name, operator.removeprefix("$"), v) for operator, v in tests.items()]
            count[0] += len(tests)
        if count[0] > _MOST_TESTS:
            raise _filter()
    return parts[0] if len(parts) == 1 else Both(tuple(parts))


def _together(condition: Condition) -> list[Condition]:
    """Parts that must all hold."""
    if isinstance(condition, Both):
        return [p for part in condition.parts for p in _together(part)]
    return [condition]


def _named(condition: Condition, entity: Entity) -> Search:
    """Whom a condition names; the rest of it narrows down."""
    parts = _together(condition)
    key: dict[str, Test] = {}
    for part in parts:
        if isinstance(part, Test) and part.operator == "eq" and part.searched.kind in ("text", "date"):
            key.setdefault(part.name, part)
    if "UIN" in key:
        rest = tuple(p for p in parts if p is not key["UIN"])
        return Search(entity, "resident_id", key["UIN"].value, None, rest)
    if "name" in key and "birth_date" in key:
        rest = tuple(p for p in parts if p is not key["name"] and p is not key["birth_date"])
        return Search(entity, "name_birth_date", key["name"].value, key["birth_date"].value, rest)
    raise Rejected("search", "rjct.search.too_many_records_found")


def attributes(condition: Condition) -> set[str]:
    """Attributes a condition depends on."""
    if isinstance(condition, Test):
        return {condition.searched.attribute}
    if isinstance(condition, Neither):
        return attributes(condition.part)
    return {name for part in condition.parts for name in attributes(part)}


def holds(condition: Condition, values: dict[str, Any], day: date) -> bool:
    """Whether a condition holds of somebody; of a value that is not known no test holds.

    Args:
        condition: in question.
        values: attribute → value as the hub tells it; None = not known.
        day: of the night, for ages.
    """
    if isinstance(condition, Neither):
        return not holds(condition.part, values, day)
    if isinstance(condition, Both):
        return all(holds(p, values, day) for p in condition.parts)
    if isinstance(condition, Either):
        return any(holds(p, values, day) for p in condition.parts)
    value = values.get(condition.searched.attribute)
    if value is None:
        return False
    searched = condition.searched
    if searched.kind == "code":
        value = mapping().code(searched.codes, value)
    elif searched.kind in ("date", "age"):
        value = date.fromisoformat(str(value))
        value = value if searched.kind == "date" else decide.age(value, day)
    return _COMPARED[condition.operator](value, condition.value)

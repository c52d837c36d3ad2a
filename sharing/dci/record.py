"""Registry records (JSON-LD) made of what a grant tells. Only what is told in clear stands in a place of the standard; a mask, a coarser
value or a code the standard does not have stands beside it, in ``additional_attributes``, with the form it is told in.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from sharing.asking import Question, told
from sharing.attributes import catalogue
from sharing.dci.mapping import Cell, mapping

Coded = Callable[[str, Any, str | None], Any]
PERSON_ID, HOUSEHOLD_ID, NUMBER = "HUB_PERSON_ID", "HUB_HOUSEHOLD_ID", "UIN"


def values(row: Any) -> dict[str, list[Any]]:
    """What is told of one person by its row of the warehouse: attribute → values that are known, one a record of the source."""
    found: dict[str, list[Any]] = {name: [value] for name, value in orjson.loads(row["person"]).items() if value is not None}
    for records in orjson.loads(row["records"]).values():
        for record in records or ():
            for name, value in record["told"].items():
                if name[0] != "?" and value is not None:
                    found.setdefault(name, []).append(value)
    return found


def clear(question: Question, row: Any) -> dict[str, Any]:
    """What is told in clear of one person: attribute → value; None = the source holds none."""
    found = values(row)
    return {name: found.get(name, [None])[0] for name, effect in question.told.items() if effect == "clear"}


def identifier(kind: str, value: str) -> dict[str, str]:
    """An identifier of the standard."""
    return {"@type": "Identifier", "identifier_type": kind, "identifier_value": value}


def _put(record: dict[str, Any], place: str, value: Any) -> None:
    """Put a value in its place; nodes on the way are made, and say what they are."""
    node, path = record, ""
    *way, last = place.split(".")
    for step in way:
        path = f"{path}.{step}" if path else step
        name, kind = step.removesuffix("[]"), mapping().types.get(path)
        fresh: dict[str, Any] = {} if kind is None else {"@type": kind}
        held = node.setdefault(name, [fresh] if step.endswith("[]") else fresh)
        node = held[0] if step.endswith("[]") else held
    node[last.removesuffix("[]")] = [value] if last.endswith("[]") else value


def _beside(name: str, value: Any, effect: str) -> dict[str, Any]:
    return {"name": name, "value": value, "effect": effect}


def candidate(person_id: str, receipt_id: str) -> dict[str, Any]:
    """One of several persons a name may mean: the hub's id, and nothing of them."""
    return {
        "@context": mapping().context, "@type": "Member", "@id": f"urn:uuid:{person_id}", "member_identifier": [identifier(PERSON_ID, person_id)],
        "additional_attributes": [{"name": "receipt_id", "value": receipt_id}],
    }  # fmt: skip


def member(question: Question, row: Any, receipt_id: str, relation: str | None = None) -> dict[str, Any]:
    """A person.

    Args:
        question: under which it is told.
        row: of the warehouse.
        receipt_id: of the entry in the log.
        relation: to the head of the household it is told in, a local code; None = not told, or told alone.
    """
    known, found = mapping(), values(row)
    record, beside = candidate(row["person_id"], receipt_id), []

    def coded(name: str, value: Any, codes: str | None) -> Any:
        """The value in the standard's code; what has none there is told beside."""
        code = known.code(codes, value)
        if code is None:
            beside.append(_beside(name, value, "clear"))
        return code

    for name, effect in question.told.items():
        if effect != "clear" and name in found:
            beside += [_beside(name, value, effect) for value in found[name]]
    is_clear = {name for name, effect in question.told.items() if effect == "clear"}
    number = known.search[NUMBER].attribute
    if number in is_clear and number in found:
        record["member_identifier"].append(identifier(NUMBER, found[number][0]))
        _put(record, "demographic_info.identifier[]", identifier(NUMBER, found[number][0]))
    answers = {a["question"]: a["answer"] for a in told(question, row)["answers"]}
    for placed in known.member:
        if placed.question is not None:
            if answers.get(placed.question) in ("yes", "no"):
                _put(record, placed.place, answers[placed.question] == "yes")
            continue
        for name in placed.attributes:
            if name in is_clear and name in found:
                code = coded(name, found[name][0], placed.codes)
                if code is not None:
                    _put(record, placed.place, code)
                    break
    for rows in known.member_lists:
        kind = known.types.get(rows.place)
        told_rows = listed(question, row, rows.rows, coded)
        if told_rows:
            _put(record, rows.place, told_rows if kind is None else [{"@type": kind, **made} for made in told_rows])
    if relation is not None:
        code = coded(known.group.relation, relation, "relation")
        if code is not None:
            record["relationship_to_head"] = code
    record["additional_attributes"] += beside
    return record


def listed(question: Question, row: Any, cells: Sequence[Cell], coded: Coded) -> list[dict[str, Any]]:
    """Rows of a list: one a record of the source that tells something in clear.

    Args:
        question: under which it is told.
        row: of the warehouse.
        cells: of each row, all of one source; none = no rows.
        coded: attribute, value and name of a code list → the standard's code; None = it has none.
    """
    found = []
    for record in (orjson.loads(row["records"]).get(catalogue()[cells[0].attribute].stem) or ()) if cells else ():
        made = {}
        for cell in cells:
            value = record["told"].get(cell.attribute)
            if question.told.get(cell.attribute) == "clear" and value is not None:
                code = coded(cell.attribute, value, cell.codes)
                if code is not None:
                    made[cell.name] = code
        if made:
            found.append(made)
    return found


def group(household: Any, size: int | None, members: list[tuple[str | None, dict[str, Any]]] | None) -> dict[str, Any]:
    """A household.

    Args:
        household: a row of it.
        size: all its members, of whom some may not be the grant's; None = not granted.
        members: relation to the head, a local code, and record of each; None = not granted.
    """
    known, household_id = mapping(), household["household_id"]
    record: dict[str, Any] = {
        "@context": known.context, "@type": "Group", "@id": f"urn:uuid:{household_id}",
        "group_identifier": [identifier(HOUSEHOLD_ID, household_id)], "group_type": known.group.types[household["kind"]],
    }  # fmt: skip
    if size is not None:
        record["group_size"] = size
    if members is not None:
        inner = [(relation, {k: v for k, v in m.items() if k != "@context"}) for relation, m in members]
        head = next((m for relation, m in inner if relation in known.group.head_relations), None)
        if head is not None:
            record["group_head_info"] = head
        record["member_list"] = [m for _, m in inner]
    return record

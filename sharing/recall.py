"""Looking back: whether what was told still stands, and telling each department where it does not."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
import sqlalchemy as sa

from hub.settings import Settings
from identity import following, households
from schemas.contract import Contract, load_contracts
from sharing.attributes import Room, catalogue
from sharing.keys import Pseudonyms
from sharing.policy import form_of
from warehouse import agency_tables, database, erasures, past, recalls, survivorship
from warehouse.forms import Form, definition
from warehouse.homes import Rule
from warehouse.recalls import Known

_PERSON = "core.person"
_HOME = "household."
CAUSES = {
    "parted": ("其中有他人的记录，现已分开", "records of another person were among them; they are apart now"),
    "joined": ("另有属于此人的记录，当时未归并", "more records are this person's than were known then"),
    "withdrawn": ("所据交付已整批撤出", "the delivery it came from was withdrawn"),
    "corrected": ("来源机构更正了当日情况", "the agency corrected what it had said of that day"),
    "erased": ("此人信息已依法删除，请一并删除所获信息", "the person was erased by law; erase what you were told as well"),
}


@dataclass(frozen=True)
class _Told:
    """How attributes and questions are made of rows: the very expressions by which they were told."""

    connection: sa.Connection
    contracts: dict[str, Contract]
    questions: dict[str, tuple[str, str]]

    def of(self, effects: dict[str, str], known: Known) -> dict[str, Any]:
        """Attribute or question → what would be told of it; lists where records of one source may be several."""
        by_stem: dict[str | None, dict[str, str]] = {}
        found: dict[str, Any] = {}
        for name, effect in effects.items():
            attribute = catalogue().get(name)
            if name.startswith("?"):
                stem, asked = self.questions.get(name[1:], (None, None))
                if asked is not None:
                    by_stem.setdefault(stem, {})[name] = asked
            elif attribute is not None and attribute.room is Room.HOUSEHOLD:
                found[name] = known.homes
            elif attribute is not None and effect != "refused":
                by_stem.setdefault(attribute.stem, {})[name] = expression(self.contracts, attribute.stem, attribute.column, form_of(effect))
        golden = by_stem.pop(None, {})
        if golden:
            found |= dict.fromkeys(golden) if known.person is None else recalls.evaluated(self.connection, _PERSON, known.person, golden)
        for stem, expressions in by_stem.items():
            table = agency_tables.core_table(str(stem))
            rows = [recalls.evaluated(self.connection, table, row, expressions) for of, row in known.records.values() if of == stem]
            for name in expressions:
                # a question is answered yes by one record that says so
                is_question = name.startswith("?")
                found[name] = (any(r[name] for r in rows), bool(rows)) if is_question else sorted(orjson.dumps(r[name]) for r in rows)
        return found


def told_as(name: str, effect: str | None) -> str | None:
    """How an attribute or question had been told, in words for readers; None = its entry in the log was erased."""
    return "question" if name[:1] == "?" and effect is not None else effect


def homes_rule(settings: Settings) -> Rule:
    """How persons become households of another day: as the night makes them."""
    return Rule(households.resolve, following.follow, following.STEPS, settings.pool_id)


def expression(contracts: dict[str, Contract], stem: str | None, column: str, form: Form | None) -> str:
    """SQL over the columns of a source's table (None = of persons) that gives a column in a form (None = clear)."""
    if form is None:
        return f'"{column}"'
    fields = () if stem is None else contracts[stem].fields
    return definition(column, form, next((f.physical_type for f in fields if f.name == column), None))[1]


def scan(settings: Settings) -> int:
    """Look at every disclosure again that the publications since the last look may have made untrue; how many recalls that gives.

    Harmless to repeat; of several programs that look at once one does it.
    """
    pseudonyms = Pseudonyms(settings)
    with database.engine(settings).begin() as connection:
        span = recalls.due(connection)
        if span is None:
            return 0
        since, newest = span
        told = _Told(connection, load_contracts(), recalls.questions(connection))
        persons = {pseudonyms.of(key): key for key in recalls.concerned(connection, told.contracts, since, newest)}
        is_withdrawal = recalls.has_withdrawal(connection, since, newest)
        policy = survivorship.in_force(connection)  # the present one, so that another policy makes nothing untrue
        rule = homes_rule(settings)
        cache: dict[tuple[str, date, int, bool], Known] = {}

        def known(person_id: str, day: date, number: int, *, with_homes: bool) -> Known:
            key = (person_id, day, number, with_homes)
            if key not in cache:
                at = past.Moment(number, None, day, number, day if with_homes else None)
                cache[key] = recalls.known(connection, told.contracts, person_id, at, rule, by=policy)
            return cache[key]

        found = _erased(connection, pseudonyms, since, newest)
        for disclosure in recalls.disclosures(connection, list(persons), newest) if persons else ():
            body = orjson.loads(disclosure.body)
            if body.get("night") is None or body.get("known_at") is not None:  # what was known at an instant stays what it was
                continue
            person_id, day = persons[disclosure.subject], date.fromisoformat(body.get("as_of") or body["night"])
            earlier = max(since, disclosure.number)
            with_homes = any(name.startswith(_HOME) and effect != "refused" for name, effect in body["told"].items())
            before = known(person_id, day, earlier, with_homes=with_homes)
            # Who they are now: whoever was told of a person that proves to be two may have meant either.
            holders = {past.answers_to(connection, key, newest) for key in (person_id, *before.records)} - {None}
            persons_now = sorted(str(h) for h in holders)
            now = [known(h, day, newest, with_homes=with_homes) for h in persons_now]
            cause = _cause(connection, persons_now, before, now, earlier, is_withdrawal=is_withdrawal)
            was, is_now = told.of(body["told"], before), [told.of(body["told"], n) for n in now]
            changed = sorted(name for name in was if any(was[name] != n[name] for n in is_now))
            if not changed:
                continue
            first = told.of(body["told"], known(person_id, day, disclosure.number, with_homes=with_homes))
            stands = all(first[name] == n[name] for n in is_now for name in first)
            found += recalls.add(
                connection,
                disclosure,
                person_id=person_id,
                persons=persons_now,
                changed=changed,
                cause=cause,
                stands=stands,
                publication=newest,
            )
        recalls.done(connection, newest)
    return found


def _erased(connection: sa.Connection, pseudonyms: Pseudonyms, since: int, newest: int) -> int:
    """Tell everybody who was told of a person that it was erased: nothing can be compared any more, and all of it is to go."""
    found = 0
    for _, ids in erasures.published(connection, since, newest):
        by_subject = {pseudonyms.of(key): key for key in ids}
        for disclosure in recalls.disclosures(connection, list(by_subject), newest):
            told = sorted(name for name, effect in orjson.loads(disclosure.body)["told"].items() if effect != "refused")
            if told:
                found += recalls.add(
                    connection, disclosure, person_id=by_subject[disclosure.subject], persons=[], changed=told, cause="erased", stands=False,
                    publication=newest,
                )  # fmt: skip
    return found


def _cause(connection: sa.Connection, persons: list[str], before: Known, now: list[Known], earlier: int, *, is_withdrawal: bool) -> str:
    """Why what is known of a day changed."""
    if len(persons) > 1:
        return "parted"
    come = {key for n in now for key in n.records} - before.records.keys()
    if any(past.answers_to(connection, key, earlier) for key in come):
        return "joined"
    return "withdrawn" if is_withdrawal else "corrected"

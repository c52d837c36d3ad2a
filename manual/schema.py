"""docs/schema.md: tables and columns of the warehouse, read back from a database that was just made."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from hub.settings import Settings
from manual.markdown import table
from schemas.contract import load_contracts
from warehouse import agency_tables, database, embedded

_ROOMS = {
    "ops": "nights, how far each source came, locks of publishing",
    "landing": "deliveries and what the gate found in them",
    "quarantine": "rows that were not let in, as pointers",
    "identity": "records as identity sees them, and which person each belongs to",
    "core": "what is true: persons, households, and each source's records as last delivered",
    "share": "who may ask; the policy adds views, functions and generated columns for each grant when it is applied",
    "audit": "who was told what: the log and its Merkle tree",
    "history": "what was true before, and what the hub took for true: superseded versions alone",
}


@dataclass(frozen=True)
class _Table:
    """One table as the database describes it."""

    room: str
    name: str
    comment: str
    columns: list[dict[str, Any]]
    key: list[str]
    leads_to: dict[str, tuple[str, str]]
    is_agency: bool

    @property
    def full(self) -> str:
        return f"{self.room}.{self.name}"


def _read(connection: sa.Connection) -> list[_Table]:
    inspector = sa.inspect(connection)
    agencies = set(load_contracts())
    found = []
    for room in _ROOMS:
        for name in sorted([*inspector.get_table_names(schema=room), *inspector.get_view_names(schema=room)]):
            foreign = {
                key["constrained_columns"][0]: (key["referred_schema"] or room, key["referred_table"])
                for key in inspector.get_foreign_keys(name, schema=room)
            }
            is_agency = room == "core" and name in agencies
            comment = inspector.get_table_comment(name, schema=room)["text"] or ("" if not is_agency else load_contracts()[name].title_en)
            found.append(
                _Table(
                    room,
                    name,
                    comment,
                    [dict(c) for c in inspector.get_columns(name, schema=room)],
                    list(inspector.get_pk_constraint(name, schema=room)["constrained_columns"]),
                    foreign,
                    is_agency,
                )  # fmt: skip
            )
    # An id leads to the table it is the key of, whether or not a constraint says so: loads are faster without.
    owners = {t.key[0]: (t.room, t.name) for t in found if len(t.key) == 1 and t.key[0].endswith("_id") and t.name == t.key[0][:-3]}
    for one in found:
        for column in one.columns:
            name = column["name"]
            owner = owners.get(name) or owners.get(name.split("_", 1)[-1] if name.startswith(("head_", "old_")) else "")
            if owner and owner != (one.room, one.name):
                one.leads_to.setdefault(name, owner)
    return found


def _type(column: dict[str, Any]) -> str:
    return str(column["type"].compile(dialect=postgresql.dialect())).lower()  # type: ignore[no-untyped-call]


def _diagram(tables: list[_Table]) -> str:
    lines = ["```mermaid", "erDiagram"]
    for one in tables:
        lines.append(f'  {one.room}_{one.name}["{one.full}"] {{')
        for column in one.columns:
            name = column["name"]
            mark = ", ".join([*(["PK"] if name in one.key else []), *(["FK"] if name in one.leads_to else [])])
            if mark or (not one.is_agency and len(one.columns) <= 12):
                lines.append(f"    {_type(column).split('(')[0].replace(' ', '_').replace('[]', '_list')} {name} {mark}".rstrip())
        lines.append("  }")
    for one in tables:
        for name, (room, other) in sorted(one.leads_to.items()):
            lines.append(f"  {room}_{other} ||--o{{ {one.room}_{one.name} : {name}")
    return "\n".join([*lines, "```"])


def _section(one: _Table) -> str:
    rows = [
        [
            f"`{c['name']}`", _type(c), "key" if c["name"] in one.key else "" if c["nullable"] else "not null",
            "→ " + ".".join(one.leads_to[c["name"]]) if c["name"] in one.leads_to else "", c.get("comment") or "",
        ]
        for c in one.columns
    ]  # fmt: skip
    return f"### {one.full}\n\n{one.comment}\n\n{table(['column', 'type', '', 'leads to', 'meaning'], rows)}"


def page() -> str:
    """The page; a database of its own is made and thrown away."""
    with tempfile.TemporaryDirectory(prefix="hub-manual-") as folder:
        Path(folder).chmod(0o711)  # the server runs as a user of its own
        values: dict[str, Any] = {"home": Path(folder) / "home", "database_url": None, "database_port": None}
        (Path(folder) / "home").mkdir()
        settings = Settings(**values)
        try:
            database.migrate(settings)
            with database.engine(settings).begin() as connection:
                for contract in load_contracts().values():
                    agency_tables.ensure_core(connection, contract)
                tables = _read(connection)
            database.engine(settings).dispose()
        finally:
            embedded.cluster(settings).stop(mode="immediate")
    sections = "\n".join(
        f"## {room}: {what}\n\n" + "\n".join(_section(t) for t in tables if t.room == room) for room, what in _ROOMS.items()
    )
    return f"""# Schema of the warehouse

PostgreSQL. Read back from a database made by the migrations and the contracts. `staging` holds one unlogged table a source and night,
of the same columns as the source's table in `core`, for as long as the night needs it.

{_diagram(tables)}

{sections}"""

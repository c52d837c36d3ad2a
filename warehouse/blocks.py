"""Which nodes are weighed against each other: those with records that agree in the key of a rule, found by equality alone.

Of two nodes one at least is open; a few strict rules compare settled ones as well, for numbers that were changed and numbers that were
issued twice. A block of more than :data:`LARGEST` records is not compared. A block's size is what the pool holds now, never a budget of the
night's: so what is compared depends on the pool alone, and a block that grows past the bound, or shrinks below it, touches its members.
"""

from dataclasses import dataclass

import sqlalchemy as sa

LARGEST = 100
# Parts of keys, of a record `r`. Where one is indexed, the index is on this very expression.
PARTS = {
    "number": "r.id_key",
    "name": "r.name_key",
    "birth": "r.birth_date",
    "phone": "r.phone_key",
    "address": "r.address_key",
    "surname": "\"left\"(coalesce(r.name_key, r.name), 1)",
    "town": "\"left\"(r.area_code, 9)",
    "tail": "CASE WHEN length(r.resident_id) >= 15 THEN \"right\"(coalesce(r.id_key, upper(r.resident_id)), 8) END",
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """Records that agree in all parts of the key are compared.

    Attributes:
        parts: names in :data:`PARTS`.
        is_strict: whether two settled nodes are compared as well.
    """

    parts: tuple[str, ...]
    is_strict: bool = False

    @property
    def rule_id(self) -> str:
        """As stored and printed."""
        return "_".join(self.parts)

    def of(self, alias: str) -> str:
        """The key columns of a table that has :data:`PARTS` as columns."""
        return ", ".join(f"{alias}.{part}" for part in self.parts)

    def known(self, alias: str) -> str:
        """That no part is missing."""
        return " AND ".join(f"{alias}.{part} IS NOT NULL" for part in self.parts)

    def equals(self, alias: str) -> str:
        """That a record `r` has the key of a row."""
        return " AND ".join(f"{PARTS[part]} = {alias}.{part}" for part in self.parts)

    def block(self, alias: str) -> str:
        """A hash that names the block."""
        return f"hashtextextended(concat_ws(chr(31), {self.of(alias)}), 0)"


RULES = (
    Rule(("number",), True), Rule(("name", "birth", "phone"), True), Rule(("name", "birth", "address"), True),
    Rule(("name", "birth")), Rule(("name", "phone")), Rule(("name", "address")), Rule(("name", "town")),
    Rule(("birth", "phone")), Rule(("birth", "address")), Rule(("birth", "surname", "town")),
    Rule(("phone", "surname")), Rule(("tail",)),
)  # fmt: skip
_LISTED = ", ".join(PARTS)
KEYS = ", ".join(f"{expression} AS {name}" for name, expression in PARTS.items())
_PRESENT = "NOT EXISTS (SELECT FROM staging.work_gone g WHERE g.record_id = r.record_id)"


def future(columns: str, driver: str, on: str) -> str:
    """Rows of `driver` joined to the records `r` as they will be: the night's candidates, and the pool's that stay."""
    return (
        f"SELECT {columns} FROM {driver} JOIN staging.work_candidate r ON {on}"
        f" UNION ALL SELECT {columns} FROM {driver} JOIN identity.record r ON {on} AND {_PRESENT}"
    )


def _make(connection: sa.Connection, name: str, query: str) -> None:
    connection.execute(sa.text(f"CREATE TEMP TABLE {name} ON COMMIT DROP AS {query}"))
    connection.execute(sa.text(f"ANALYZE {name}"))


def gather_open(connection: sa.Connection) -> None:
    """Make `open_record`: the keys of all records of open nodes."""
    columns = f"o.record_id, o.node_id, {KEYS}"
    opened = "(SELECT record_id, node_id FROM staging.work_node WHERE is_open) AS o"
    # A record that is not touched may be newer than it was; its keys are the same.
    kept = (
        "SELECT l.record_id, l.node_id FROM identity.link l WHERE l.is_open"
        " AND NOT EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = l.record_id)"
    )
    _make(connection, "open_record", f"{future(columns, opened, 'o.record_id = r.record_id')} UNION ALL"
          f" SELECT {columns} FROM ({kept}) AS o JOIN identity.record r USING (record_id)")  # fmt: skip


def gather_versions(connection: sa.Connection) -> None:
    """Make `version`: the keys that shaken records had, and those they will have; and `touched_key`, those of all touched ones."""
    _make(
        connection, "version",
        f"SELECT DISTINCT {KEYS} FROM shaken JOIN identity.record r USING (record_id)"
        f" UNION SELECT {KEYS} FROM shaken JOIN staging.work_candidate r USING (record_id)",
    )  # fmt: skip
    stays = "CASE WHEN EXISTS (SELECT FROM staging.work_gone g WHERE g.record_id = r.record_id) THEN 0 ELSE 1 END"
    _make(
        connection, "touched_key",
        f"SELECT {KEYS}, 1 AS before, {stays} AS after FROM staging.work_touched JOIN identity.record r USING (record_id)"
        f" UNION ALL SELECT {KEYS}, 0, 1 FROM staging.work_touched JOIN staging.work_candidate r USING (record_id)",
    )  # fmt: skip


def _measured(rule: Rule, keys: str) -> str:
    """Sizes of blocks, in records: before and after the night."""
    if rule.is_strict:  # touched records are closed under what strict rules begin with
        listed = ", ".join(rule.parts)
        return f"SELECT {listed}, sum(before) AS before, sum(after) AS after FROM touched_key JOIN ({keys}) AS k USING ({listed}) GROUP BY {listed}"
    return (
        f"SELECT {rule.of('k')}, sum(before) AS before, sum(after) AS after FROM (SELECT {rule.of('k')}, 1 AS before,"
        " CASE WHEN EXISTS (SELECT FROM staging.work_gone g WHERE g.record_id = r.record_id) THEN 0 ELSE 1 END AS after"
        f" FROM ({keys}) AS k JOIN identity.record r ON {rule.equals('k')} UNION ALL SELECT {rule.of('k')}, 0, 1"
        f" FROM ({keys}) AS k JOIN staging.work_candidate r ON {rule.equals('k')}) AS k GROUP BY {rule.of('k')}"
    )


def make_crowds(connection: sa.Connection) -> None:
    """Make `staging.work_crowd`, where rules note blocks that are past the bound and hold an open record: what the bound costs."""
    connection.execute(
        sa.text("CREATE UNLOGGED TABLE staging.work_crowd (rule_id text, block bigint, records bigint, open_records bigint)")
    )


def _note_crowds(connection: sa.Connection, rule: Rule, measured: str) -> None:
    opened = f"SELECT {rule.of('o')}, count(*) AS n FROM open_record o WHERE {rule.known('o')} GROUP BY {rule.of('o')}"
    connection.execute(
        sa.text(
            f"INSERT INTO staging.work_crowd SELECT '{rule.rule_id}', {rule.block('m')}, m.records, o.n FROM ({measured}) AS m"
            f" JOIN ({opened}) AS o USING ({', '.join(rule.parts)}) WHERE m.records > {LARGEST}"
        )
    )


def cross(connection: sa.Connection) -> None:
    """Put the members of blocks that cross the bound into `focus`, and note what has become of blocks.

    A block is looked at if a shaken record is, or was, in it.
    """
    connection.execute(sa.text("CREATE UNLOGGED TABLE staging.work_crowd_gone (rule_id text, block bigint)"))
    for rule in RULES:
        shaken = f"SELECT DISTINCT {rule.of('v')} FROM version v WHERE {rule.known('v')}"
        connection.execute(
            sa.text(
                f"INSERT INTO staging.work_crowd_gone SELECT c.rule_id, c.block FROM identity.crowd c JOIN ({shaken}) AS v"
                f" ON c.block = {rule.block('v')} WHERE c.rule_id = '{rule.rule_id}'"
            )
        )
        opened = f"SELECT {rule.of('o')} FROM open_record o WHERE {rule.known('o')}"
        _make(connection, "measured", _measured(rule, shaken if rule.is_strict else f"{opened} INTERSECT {shaken}"))
        _note_crowds(connection, rule, f"SELECT {rule.of('k')}, after AS records FROM measured k")
        _touch_crossing(connection, rule)
        connection.execute(sa.text("DROP TABLE measured"))


def _touch_crossing(connection: sa.Connection, rule: Rule) -> None:
    crossed = f"(SELECT {rule.of('m')} FROM measured m WHERE (m.before > {LARGEST}) <> (m.after > {LARGEST})) AS m"
    if rule.is_strict:
        members = future("r.record_id", crossed, rule.equals("m"))
        nodes = "SELECT coalesce(w.node_id, l.node_id) FROM members LEFT JOIN staging.work_node w USING (record_id)"
        query = f"WITH members AS ({members}) {nodes} LEFT JOIN identity.link l USING (record_id)"
    else:
        query = f"SELECT DISTINCT o.node_id FROM open_record o JOIN {crossed} USING ({', '.join(rule.parts)})"
    connection.execute(sa.text(f"INSERT INTO focus {query}"))


def _strict_keys(connection: sa.Connection, rule: Rule, everything: bool) -> str:
    """Keys of the blocks of a strict rule that hold more than one node, or an open one.

    Nodes that agree in what the rule begins with (number; name and birth date) are few: they are gathered once for all rules that do.
    """
    wide = rule.parts[:2]
    several = f"several_{'_'.join(wide)}"
    if not connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": f"pg_temp.{several}"}):
        keys = ", ".join(f"{PARTS[p]} AS {p}" for p in wide)
        known = " AND ".join(f"{PARTS[p]} IS NOT NULL" for p in wide)
        if everything:
            sources = ("staging.work_candidate r", f"(SELECT * FROM identity.record r WHERE {_PRESENT}) AS r")
            rows = " UNION ALL ".join(f"SELECT record_id, {keys} FROM {source} WHERE {known}" for source in sources)
        else:
            named = ", ".join(f"f.{p}" for p in wide)
            looked_at = f"SELECT DISTINCT {named} FROM focus_record f WHERE {' AND '.join(f'f.{p} IS NOT NULL' for p in wide)}"
            _make(connection, "looked_at", looked_at)
            rows = future(f"r.record_id, {keys}", "looked_at k", " AND ".join(f"{PARTS[p]} = k.{p}" for p in wide))
        node = "uuid_hash_extended(coalesce(w.node_id, l.node_id), 1)"
        _make(
            connection, several,
            f"SELECT {', '.join(wide)} FROM ({rows}) AS k LEFT JOIN staging.work_node w USING (record_id)"
            f" LEFT JOIN identity.link l USING (record_id) GROUP BY {', '.join(wide)} HAVING min({node}) <> max({node})",
        )  # fmt: skip
        connection.execute(sa.text("DROP TABLE IF EXISTS looked_at"))
    on = " AND ".join(f"{PARTS[p]} = s.{p}" for p in wide)
    keys = ", ".join(f"{PARTS[p]} AS {p}" for p in rule.parts)
    members = f"SELECT {rule.of('m')} FROM ({future(keys, f'{several} s', on)}) AS m WHERE {rule.known('m')}"
    opened = f"SELECT {rule.of('o')} FROM open_record o WHERE {rule.known('o')}"
    return f"{members} UNION {opened}" if everything else f"SELECT DISTINCT * FROM ({members}) AS m"


def find_pairs(connection: sa.Connection, everything: bool) -> None:
    """Make `pair`: nodes ``a`` < ``b`` that share a block, one of them in `focus` (everything = all are).

    Reads `open_record` and, unless everything is looked at, `focus_record` (keys of the records of the nodes in focus).
    """
    connection.execute(sa.text("CREATE TEMP TABLE found (a uuid, b uuid) ON COMMIT DROP"))
    is_focus = "true" if everything else "EXISTS (SELECT FROM focus x WHERE x.node_id = coalesce(w.node_id, l.node_id))"
    for rule in RULES:
        own = f"SELECT DISTINCT {rule.of('o')} FROM open_record o WHERE {rule.known('o')}"
        focus = f"FROM focus_record f WHERE {rule.known('f')}"
        if rule.is_strict:
            keys = _strict_keys(connection, rule, everything)
        elif everything:
            keys = own
        else:
            keys = f"SELECT {rule.of('f')} {focus} AND f.is_open UNION (SELECT {rule.of('f')} {focus} INTERSECT {own})"
        _make(connection, "block", f"SELECT row_number() OVER () AS n, * FROM ({keys}) AS k")
        members = future("b.n, r.record_id", "block b", rule.equals("b"))
        _make(connection, "holder", f"SELECT n, record_id, count(*) OVER (PARTITION BY n) AS size FROM ({members}) AS m")
        if everything:
            sizes = f"SELECT n, max(size) AS records FROM holder WHERE size > {LARGEST} GROUP BY n"
            _note_crowds(connection, rule, f"SELECT {rule.of('b')}, records FROM block b JOIN ({sizes}) AS s USING (n)")
        _make(
            connection, "member",
            "SELECT DISTINCT n, coalesce(w.node_id, l.node_id) AS node_id, coalesce(w.is_open, l.is_open) AS is_open,"
            f" {is_focus} AS is_focus FROM holder LEFT JOIN staging.work_node w USING (record_id)"
            f" LEFT JOIN identity.link l USING (record_id) WHERE size BETWEEN 2 AND {LARGEST}",
        )  # fmt: skip
        either = "" if rule.is_strict else " AND (x.is_open OR y.is_open)"
        connection.execute(
            sa.text(
                "INSERT INTO found SELECT DISTINCT x.node_id, y.node_id FROM member x JOIN member y USING (n)"
                f" WHERE x.node_id < y.node_id AND (x.is_focus OR y.is_focus){either}"
            )
        )
        connection.execute(sa.text("DROP TABLE block, holder, member"))
    _make(connection, "pair", "SELECT DISTINCT a, b FROM found")

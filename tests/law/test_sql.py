"""SQL is made of constants, of names the hub gives, and of bound parameters: no value that comes from outside is written into it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hub.settings import CHECKOUT

_SQL = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|WHERE|JOIN|FROM|GRANT|REVOKE|COPY|COMMENT|VACUUM|VALUES|ORDER BY|ANALYZE|TRUNCATE)\b"
)
# Types whose content is the code's, the contracts' or the policy's own; all of them are checked when they are read.
_OWN_TYPES = re.compile(r"Connection|Contract|Asking|Asked|bool|int|float|Settings|Rule|Rows|Survivorship|Row\b")
# What a parameter of any other type is called that may be written into SQL: a name or a piece of SQL that the caller's code holds.
_OWN_PARAMETERS = {
    "names of tables, columns, roles and databases": {
        "table", "core", "keys", "plan", "changes", "measured", "name", "column", "columns", "kind", "of", "role", "stem", "stems", "own", "restored", "kept",
        "attribute", "question", "tables", "row",
    },
    "pieces of SQL": {
        "query", "where", "on", "on_day", "driver", "known", "was_held", "op", "insert", "traits", "source", "which", "concerned", "options", "of_these", "fails",
    },
    "business dates, which name working tables": {"day", "business_date"},
    "the one secret PostgreSQL takes as a literal, quoted": {"password"},
}  # fmt: skip


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, str]:
    a = function.args
    return {p.arg: ast.unparse(p.annotation) if p.annotation else "" for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)}


def _written(function: ast.AST) -> Iterator[ast.expr]:
    """Expressions whose values a function writes into a text of SQL."""
    for node in ast.walk(function):
        if isinstance(node, ast.JoinedStr):
            if _SQL.search("".join(str(v.value) for v in node.values if isinstance(v, ast.Constant))):
                yield from (v.value for v in node.values if isinstance(v, ast.FormattedValue))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            yield from (*node.args, *(k.value for k in node.keywords))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant | ast.JoinedStr):
            yield node.right


def strangers(text: str) -> set[tuple[str, str]]:
    """Function and parameter, wherever a parameter is written into SQL that may hold what comes from outside."""
    own = set().union(*_OWN_PARAMETERS.values())
    found = set()
    for function in [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]:
        parameters = _parameters(function)
        for expression in _written(function):
            names = {n.id for n in ast.walk(expression) if isinstance(n, ast.Name)} & set(parameters)
            found |= {(function.name, n) for n in names if n not in own and not _OWN_TYPES.search(parameters[n])}
    return found


def _modules() -> list[Path]:
    return [p for p in (CHECKOUT / "warehouse").rglob("*.py") if "migrations" not in p.parts]


def test_no_value_from_outside_is_written_into_sql() -> None:
    found = {path.name: sorted(of) for path in _modules() if (of := strangers(path.read_text(encoding="utf-8")))}
    assert found == {}, "bind it as a parameter; a name or piece of SQL of the code's own is called so"


def test_a_value_that_is_written_into_sql_would_be_found() -> None:
    bad = "def one(connection: sa.Connection, person_id: str) -> None:\n    connection.execute(sa.text(f\"SELECT 1 FROM t WHERE a = '{person_id}'\"))\n"
    assert strangers(bad) == {("one", "person_id")}
    worse = 'def two(reason: str) -> str:\n    return "DELETE FROM t WHERE r = {}".format(reason) + "SELECT %s" % reason\n'
    assert strangers(worse) == {("two", "reason")}
    good = 'def three(connection: sa.Connection, person_id: str, table: str) -> None:\n    c.execute(sa.text(f"SELECT 1 FROM {table} WHERE a = :a"), {"a": person_id})\n'
    assert strangers(good) == set()
    assert len(_modules()) > 40

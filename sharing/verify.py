"""Whether the log is what it was: every entry against its leaf, every tile against those below, every signed head against the tree."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa

from hub.crypto_suite import SuiteName
from hub.errors import ConfigError
from hub.settings import Settings
from sharing import checkpoint, enforcement, keys, log_suite, merkle
from sharing.receipts import commitment
from warehouse import audit_log

_PAGE = 10_000
# Columns of the log that repeat what the entry says.
_COLUMNS = ("entry_id", "client_id", "department", "purpose", "decision")


@dataclass
class Verified:
    """What was found; ``faults`` are pointers, never an entry's text."""

    suite: SuiteName
    root: bytes
    entries: int = 0
    erased: int = 0
    heads: int = 0
    faults: list[str] = field(default_factory=list)


def _reader(tiles: dict[tuple[int, int], bytes]) -> merkle.ReadTile:
    def read(level: int, number: int) -> bytes:
        return tiles.get((level, number), b"")

    return read


def verified(connection: sa.Connection, settings: Settings, notes: Iterable[tuple[str, str]] = ()) -> Verified:
    """Recompute the log.

    Args:
        connection: an open connection.
        settings: whose keys.
        notes: name and text of signed tree heads that others kept.
    """
    suite = log_suite.of(connection, settings)
    tree = merkle.Tree(suite.digest)
    found = Verified(suite.name, tree.empty_root())
    size, tiles = audit_log.log_size(connection), audit_log.all_tiles(connection)
    found.entries = size
    rebuilt: merkle.Tiles = {}
    edge: dict[int, bytes] = {}
    start = 0
    while rows := audit_log.stream(connection, start, _PAGE):
        leaves = []
        for expected, row in enumerate(rows, start=start):
            if row.leaf_index != expected:
                found.faults.append(f"leaf {expected}: 缺失 missing")
                return _too_broken(found)
            held = tiles.get((0, row.leaf_index // merkle.TILE), b"")
            place = row.leaf_index % merkle.TILE * merkle.HASH_BYTES
            kept = held[place : place + merkle.HASH_BYTES]
            if row.body is None or row.salt is None:
                found.erased += 1
                if not row.is_erased:
                    found.faults.append(f"leaf {row.leaf_index}: 内容缺失且无删除登记 its entry is gone, and nobody erased it by law")
                leaves.append(kept if len(kept) == merkle.HASH_BYTES else b"\x00" * merkle.HASH_BYTES)
                continue
            leaf = tree.leaf_hash(commitment(row.body, bytes(row.salt), suite.digest))
            leaves.append(leaf)
            if leaf != kept:
                found.faults.append(f"leaf {row.leaf_index}: 与树不符 is not what the tree holds")
            elif not _columns_agree(row):
                found.faults.append(f"leaf {row.leaf_index}: 检索列与内容不符 its columns do not say what its entry says")
        edge, changed = tree.grow(start, edge, leaves)
        rebuilt.update(changed)
        start += len(rows)
    if start != size:
        found.faults.append(f"条数不符 the log counts {size} entries and holds {start}")
    for place in sorted({*rebuilt, *tiles}):
        if rebuilt.get(place) != tiles.get(place):
            found.faults.append(f"tile {place[0]}/{place[1]}: 与条目不符 does not follow from the entries")
    read = _reader(rebuilt)
    found.root = tree.root(start, read)
    own = [(f"audit.head {n}", note) for n, note in enumerate(audit_log.heads(connection))]
    public = keys.head_key(settings, suite).public_key()
    for name, note in (*own, *notes):
        found.heads += 1
        try:
            head = checkpoint.read(note, public)
        except ConfigError as error:
            found.faults.append(f"{name}: {error.message}")
            continue
        if head.size > start:
            found.faults.append(f"{name}: 签名树头有 {head.size} 条，留痕只有 {start} 条 the log was cut off")
        elif tree.root(head.size, read) != head.root:
            found.faults.append(f"{name}: 前 {head.size} 条已被改写 the first {head.size} entries were rewritten since it was signed")
    return found


def _too_broken(found: Verified) -> Verified:
    found.faults.append("其后无法核验 what follows cannot be verified")
    return found


def _columns_agree(row: Any) -> bool:
    body = orjson.loads(row.body)
    subject = None if row.subject is None else bytes(row.subject).hex()
    at = datetime.fromisoformat(body["at"])
    return all(getattr(row, name) == body[name] for name in _COLUMNS) and subject == body["subject"] and row.at == at


def signed_head(connection: sa.Connection, settings: Settings) -> str:
    """Sign the log's tree head as it is; kept in the log's own list as well."""
    suite = log_suite.of(connection, settings)
    size = audit_log.log_size(connection)
    root = merkle.Tree(suite.digest).root(size, _reader(audit_log.all_tiles(connection)))
    signed_at = datetime.now(UTC)
    note = checkpoint.sign(keys.origin(settings), size, root, signed_at, keys.head_key(settings, suite))
    if size:  # what was signed of no entry fixes nothing
        audit_log.keep_signed(connection, size, root, signed_at, note)
    return note


def about(connection: sa.Connection, settings: Settings, person_id: str) -> list[dict[str, Any]]:
    """Who looked at a person, newest first, with department and purpose in words."""
    pseudonyms = keys.Pseudonyms(settings)
    policy, _ = enforcement.policy_today(settings)
    rows = audit_log.about(connection, [pseudonyms.of(name) for name in audit_log.names_of(connection, person_id)])
    found = []
    for row in rows:
        body = orjson.loads(row.body)
        department, purpose = policy.departments.get(row.department), policy.purposes.get(row.purpose)
        found.append(
            {
                "receipt_id": row.entry_id, "at": body["at"], "client_id": row.client_id, "department": row.department,
                "department_zh": department.zh if department else row.department, "department_en": department.en if department else row.department,
                "purpose": row.purpose, "purpose_zh": purpose.title.zh if purpose else row.purpose, "purpose_en": purpose.title.en if purpose else row.purpose,
                "decision": row.decision, "told": body["told"],
            }
        )  # fmt: skip
    return found

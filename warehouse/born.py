"""The ids things are born with: pure functions of where and when they were first seen, as SQL expressions.

A record's id is a UUID version 7 (RFC 9562): its time is the first business date, its other bits are SHA-256 of pool, source
and key. So the oldest record of a cluster is the smallest id, the cluster answers to it, and a merge taken back gives the very
ids there were before. A household's id is a UUID version 8 of the agency's own number for it.
"""


def record_id(stem: str, key: str, day: str) -> str:
    """SQL expression of a record's id; `pool` is a bound parameter.

    Args:
        stem: SQL expression of the source's stem.
        key: SQL expression of the agency's key, text.
        day: SQL expression of the first business date.
    """
    digest = _digest(":pool", stem, key)
    return (
        f"(SELECT (lpad(to_hex((({day}) - DATE '1970-01-01')::bigint * 86400000), 12, '0') || '7' || substr(h, 1, 3)"
        f" || substr('89ab', 1 + (get_byte(d, 31) & 3), 1) || substr(h, 4, 15))::uuid"
        f" FROM (SELECT encode(d, 'hex') AS h, d FROM (SELECT {digest} AS d OFFSET 0) AS digest OFFSET 0) AS hex)"
    )


def household_id(kind: str, stem: str, local_no: str) -> str:
    """SQL expression of the id of a household as one agency numbers it; `pool` is a bound parameter."""
    digest = _digest(":pool", kind, stem, local_no)
    return (
        f"(SELECT (substr(h, 1, 12) || '8' || substr(h, 13, 3) || '8' || substr(h, 16, 15))::uuid"
        f" FROM (SELECT encode({digest}, 'hex') AS h OFFSET 0) AS hex)"
    )


def _digest(*parts: str) -> str:
    # U+001F separates, so that no two different part lists give the same text.
    return f"sha256(convert_to({' || chr(31) || '.join(f'({p})' for p in parts)}, 'UTF8'))"

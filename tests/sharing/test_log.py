"""The log: nothing is told that is not written down first, and nobody rewrites what was written."""

import subprocess
import sys
import uuid

import pytest
import sqlalchemy as sa

from hub.crypto_suite import chosen
from hub.settings import CHECKOUT
from sharing import checkpoint, keys, merkle, verify
from sharing.offline import verify_log
from sharing.receipts import commitment
from tests.sharing.test_answers import NOBODY, WATCH, a_person

pytestmark = pytest.mark.slow
VERIFIER = CHECKOUT / "sharing" / "offline" / "verify_log.py"


def public_key(pool):
    return keys.head_key(pool.settings, chosen(pool.settings)).public_key()


def tree_of(pool):
    return merkle.Tree(chosen(pool.settings).digest)


def faults(pool, *notes):
    with pool.engine.connect() as connection:
        return verify.verified(connection, pool.settings, [(f"head {n}", note) for n, note in enumerate(notes)]).faults


@pytest.fixture
def tampered(pool):
    """What an operator with all rights can do; afterwards the log is as it was."""
    kept = {t: pool.rows(f"SELECT * FROM audit.{t}") for t in ("entry", "tile", "log", "head")}

    def tamper(statement, **values):
        with pool.engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))  # triggers off: a superuser's right
            connection.execute(sa.text(statement), values)

    yield tamper
    with pool.engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for table, rows in kept.items():
            connection.execute(sa.text(f"DELETE FROM audit.{table}"))
            if rows:
                names = list(rows[0]._mapping)
                connection.execute(
                    sa.text(f"INSERT INTO audit.{table} ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})"),
                    [dict(r._mapping) for r in rows],
                )


def ask_some(pool, civil, times=3):
    row = a_person(pool)
    return [civil.person(row.id, WATCH, "insured").json()["receipt"] for _ in range(times)]


def test_a_receipt_is_verified_without_the_hub(pool, civil):
    receipt = ask_some(pool, civil, 1)[0]
    held = civil.get(f"/v1/receipts/{receipt['receipt_id']}").json()
    head = checkpoint.read(held["checkpoint"], public_key(pool))
    leaf = tree_of(pool).leaf_hash(commitment(held["body"], bytes.fromhex(held["salt"]), tree_of(pool).digest))
    assert tree_of(pool).includes(held["leaf_index"], head.size, leaf, [bytes.fromhex(h) for h in held["inclusion"]], head.root)
    assert '"insured"' not in held["body"] and '"?insured":"yes_no"' in held["body"]


def test_a_receipt_is_shown_to_its_own_department_alone(pool, civil, town):
    receipt = ask_some(pool, civil, 1)[0]
    assert town.get(f"/v1/receipts/{receipt['receipt_id']}").status_code == 404
    page = town.get("/v1/receipts", limit=500).json()["receipts"]
    assert {r["department"] for r in page} <= {"town_office"}


def test_receipts_are_paged_by_cursor_without_gap_or_repeat(pool, civil):
    ask_some(pool, civil, 5)
    pages, cursor = [], None
    for _ in range(3):
        page = civil.get("/v1/receipts", limit=2, **({"cursor": cursor} if cursor else {})).json()
        pages += [r["leaf_index"] for r in page["receipts"]]
        cursor = page["next_cursor"]
    whole = civil.get("/v1/receipts", limit=6).json()["receipts"]
    assert pages == [r["leaf_index"] for r in whole] == sorted(pages, reverse=True)
    assert civil.get("/v1/receipts", cursor="_" * 20).json()["code"] == "bad-request"


def test_an_entry_names_no_person(pool, civil):
    row = a_person(pool)
    civil.post("/v1/persons/lookup", purpose=WATCH, resident_id=row.resident_id, attributes=["person.name"])
    text = "".join(str(tuple(r)) for r in pool.rows("SELECT body, client_id, subject FROM audit.entry"))
    for value in (row.id, row.resident_id, row.name, row.phone, row.address):
        assert value not in text


@pytest.mark.parametrize("way", ["log table gone", "function refused", "disk full"])
def test_while_the_log_cannot_be_written_nothing_is_told(pool, civil, way):
    """The failure is PostgreSQL's own; entry and answer fail together."""
    row, before = a_person(pool), pool.entries()
    breaking, mending = {
        "log table gone": ("ALTER TABLE audit.entry RENAME TO gone", "ALTER TABLE audit.gone RENAME TO entry"),
        "function refused": (
            f'REVOKE EXECUTE ON FUNCTION audit.append FROM "{pool.engine.url.database}_sharing"',
            f'GRANT EXECUTE ON FUNCTION audit.append TO "{pool.engine.url.database}_sharing"',
        ),
        "disk full": (
            "CREATE FUNCTION audit.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space left on device' USING ERRCODE = 'disk_full'; END $$;"
            " CREATE TRIGGER is_full BEFORE INSERT ON audit.entry FOR EACH STATEMENT EXECUTE FUNCTION audit.full()",
            "DROP TRIGGER is_full ON audit.entry; DROP FUNCTION audit.full()",
        ),
    }[way]
    pool.run(breaking)
    try:
        answers = [
            civil.person(row.id, WATCH, "person.name", "insured"),
            civil.person(NOBODY, WATCH, "insured"),
            civil.post("/v1/persons/lookup", purpose=WATCH, resident_id=row.resident_id, attributes=["person.name"]),
            civil.post("/v1/persons/compare", purpose=WATCH, attributes=["person.name"], applicants=[{"person_id": row.id}]),
            civil.person(row.id, "low_income_review", "person.name"),
        ]
    finally:
        pool.run(mending)
    assert {a.status_code for a in answers} == {503} and {a.json()["code"] for a in answers} == {"log-unavailable"}
    assert all(row.name not in a.text and row.id not in a.text for a in answers)
    assert pool.entries() == before
    assert civil.person(row.id, WATCH, "insured").status_code == 200
    assert faults(pool) == []


def test_the_log_verifies_and_grows_consistently(pool, civil):
    ask_some(pool, civil)
    old = checkpoint.read(pool.http.get("/v1/log/checkpoint").text, public_key(pool))
    ask_some(pool, civil, 2)
    new = checkpoint.read(pool.http.get("/v1/log/checkpoint").text, public_key(pool))
    proof = pool.http.get("/v1/log/consistency", params={"old": old.size, "new": new.size}).json()["hashes"]
    assert tree_of(pool).extends(old.size, old.root, new.size, new.root, [bytes.fromhex(h) for h in proof])
    assert faults(pool, old.text, new.text) == []


EDITS = {
    "changed": "UPDATE audit.entry SET body = replace(body, 'roster_monitoring', 'low_income_review') WHERE leaf_index = :leaf",
    "hidden from its department": "UPDATE audit.entry SET department = 'town_office' WHERE leaf_index = :leaf",
    "moved to another person": "UPDATE audit.entry SET subject = decode(repeat('00', 32), 'hex') WHERE leaf_index = :leaf",
    "erased without a law": "UPDATE audit.entry SET body = NULL, salt = NULL, subject = NULL WHERE leaf_index = :leaf",
    "removed": "DELETE FROM audit.entry WHERE leaf_index = :leaf",
    "reordered": "UPDATE audit.entry a SET body = b.body, salt = b.salt FROM audit.entry b WHERE a.leaf_index IN (:leaf, :leaf - 1) AND b.leaf_index = 2 * :leaf - 1 - a.leaf_index",
    "cut off": "DELETE FROM audit.entry WHERE leaf_index >= :leaf; UPDATE audit.log SET size = :leaf",
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=lambda e: e.replace(" ", "_"))
def test_an_entry_that_was_edited_by_the_operator_is_found(pool, civil, tampered, edit):
    leaf = ask_some(pool, civil)[1]["leaf_index"]
    assert faults(pool) == []
    tampered(EDITS[edit], leaf=leaf)
    assert faults(pool) != []


def test_the_database_refuses_an_edit_to_all_who_do_not_switch_it_off(pool, civil):
    ask_some(pool, civil, 1)
    for statement in (
        "UPDATE audit.entry SET decision = 'x'",
        "DELETE FROM audit.entry",
        "TRUNCATE audit.entry CASCADE",
        "DELETE FROM audit.head",
        "DELETE FROM audit.tile",
    ):
        with pytest.raises(sa.exc.DBAPIError, match="never changed"):
            pool.run(statement)


def rewrite(pool, tampered, leaf):
    """The best an operator can do: change an entry, then rebuild the whole tree and sign a head of it. The key is the operator's too."""
    tampered(
        "UPDATE audit.entry SET body = replace(body, 'roster_monitoring', 'low_income_review'), purpose = 'low_income_review' WHERE leaf_index = :leaf",
        leaf=leaf,
    )
    rows = pool.rows("SELECT body, salt FROM audit.entry ORDER BY leaf_index")
    _, tiles = tree_of(pool).grow(0, {}, [tree_of(pool).leaf_hash(commitment(r.body, bytes(r.salt), tree_of(pool).digest)) for r in rows])
    tampered("DELETE FROM audit.tile; DELETE FROM audit.head")
    for (level, number), hashes in tiles.items():
        tampered("INSERT INTO audit.tile VALUES (:level, :number, :hashes)", level=level, number=number, hashes=hashes)
    with pool.engine.begin() as connection:
        return verify.signed_head(connection, pool.settings)


def test_an_operator_who_rewrites_everything_and_signs_it_anew_is_found_by_a_witness_with_an_old_head(pool, civil, tampered, tmp_path):
    """Superuser's rights and the signing key do not help: the department keeps a head from before."""
    leaf = ask_some(pool, civil)[1]["leaf_index"]
    witness = tmp_path / "head-of-march"
    witness.write_text(pool.http.get("/v1/log/checkpoint").text, encoding="utf-8")
    new_head = rewrite(pool, tampered, leaf)
    assert faults(pool) == [], "the hub by itself sees nothing: that is why heads are handed out"
    (fault,) = faults(pool, witness.read_text(encoding="utf-8"))
    assert "rewritten" in fault
    # The department needs no hub either: no proof leads from its head to the new one.
    public = public_key(pool)
    old, new = checkpoint.read(witness.read_text(encoding="utf-8"), public), checkpoint.read(new_head, public)
    proof = pool.http.get("/v1/log/consistency", params={"old": old.size, "new": new.size}).json()["hashes"]
    assert not tree_of(pool).extends(old.size, old.root, new.size, new.root, [bytes.fromhex(h) for h in proof])


def test_an_entry_erased_by_law_keeps_its_place_and_the_log_verifies(pool, civil):
    receipt = ask_some(pool, civil)[0]
    kept = pool.http.get("/v1/log/checkpoint").text
    from warehouse import audit_log

    with pool.engine.begin() as connection:
        audit_log.erase(connection, receipt["receipt_id"], reason="PIPL art. 47", erased_by="data officer")
    assert faults(pool, kept) == []
    shown = civil.get(f"/v1/receipts/{receipt['receipt_id']}").json()
    assert (shown["body"], shown["salt"]) == (None, None) and shown["leaf_index"] == receipt["leaf_index"]


def test_a_person_is_told_who_looked_and_what_for_and_who_was_refused(pool, civil, town):
    row = a_person(pool, "NOT area_code LIKE '421022100%'")
    civil.person(row.id, WATCH, "insured", "person.phone")
    town.post("/v1/persons/lookup", purpose="certificate_check", resident_id=row.resident_id, questions=["insured"])
    with pool.engine.connect() as connection:
        newest = verify.about(connection, pool.settings, row.id)[:2]
    assert [(n["department"], n["decision"]) for n in newest] == [("town_office", "not_available"), ("civil_affairs", "told")]
    assert newest[1]["purpose_zh"] == "低收入人口动态监测" and newest[1]["told"] == {"?insured": "yes_no", "person.phone": "yes_no"}


class TestVerifier:
    """The stand-alone verifier: no line of the hub's, and it says the same."""

    python = (sys.executable, "-I")

    def run(self, *arguments):
        done = subprocess.run([*self.python, str(VERIFIER), *map(str, arguments)], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    @pytest.fixture
    def held(self, pool, civil, tmp_path):
        """What a department keeps: key, receipt, an old and a new head, the proof between them."""
        receipt = ask_some(pool, civil, 1)[0]
        files = {"key": pool.http.get("/v1/log/key").text, "old": pool.http.get("/v1/log/checkpoint").text}
        ask_some(pool, civil, 2)
        files["receipt"] = civil.get(f"/v1/receipts/{receipt['receipt_id']}").text
        files["new"] = pool.http.get("/v1/log/checkpoint").text
        sizes = [int(files[n].splitlines()[1]) for n in ("old", "new")]
        files["proof"] = pool.http.get("/v1/log/consistency", params={"old": sizes[0], "new": sizes[1]}).text
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    def test_imports_nothing_of_the_hub(self):
        source = VERIFIER.read_text(encoding="utf-8")
        rooms = ("hub", "sharing", "warehouse", "schemas", "pipeline")
        assert not [room for room in rooms if f"import {room}" in source or f"from {room}" in source]

    def test_accepts_what_is_so(self, held):
        assert self.run("receipt", held / "receipt", "--key", held / "key")[0] == 0
        assert self.run("consistency", held / "old", held / "new", held / "proof", "--key", held / "key")[0] == 0

    def test_refuses_what_is_not(self, held):
        receipt = (held / "receipt").read_text(encoding="utf-8")
        spoilt = {
            "another purpose": receipt.replace("roster_monitoring", "low_income_review"),
            "another place": receipt.replace('"leaf_index":', '"leaf_index":1'),
            "another head": receipt.replace("signed-at 20", "signed-at 19"),
        }
        for name, text in spoilt.items():
            assert text != receipt
            (held / "spoilt").write_text(text, encoding="utf-8")
            assert self.run("receipt", held / "spoilt", "--key", held / "key")[0] == 1, name
        assert self.run("consistency", held / "new", held / "old", held / "proof", "--key", held / "key")[0] == 1
        (held / "none").write_text('{"hashes": []}', encoding="utf-8")
        assert self.run("consistency", held / "old", held / "new", held / "none", "--key", held / "key")[0] == 1
        for text in ("", "{", "[]", '{"leaf_index": "x"}'):
            (held / "spoilt").write_text(text, encoding="utf-8")
            assert self.run("receipt", held / "spoilt", "--key", held / "key")[0] == 1

    def test_has_the_tree_of_the_rfc(self):
        from tests.sharing.test_merkle import TREE, defined, defined_path, defined_proof, some

        for n in (1, 2, 3, 7, 8, 20, 33):
            leaves = some(n)
            for m in range(n):
                assert verify_log.root_of(m, n, TREE.leaf_hash(leaves[m]), defined_path(m, leaves)) == defined(leaves)
            for m in range(1, n + 1):
                assert verify_log.is_extension(m, defined(leaves[:m]), n, defined(leaves), defined_proof(m, leaves))
                assert m == n or not verify_log.is_extension(m, defined(leaves[:m]), n, bytes(32), defined_proof(m, leaves))


def test_a_receipt_of_nobody_is_not_found(civil):
    assert civil.get(f"/v1/receipts/{uuid.uuid4()}").status_code == 404

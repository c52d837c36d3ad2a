"""The sharing service, killed again and again while departments ask it: nobody holds an answer that the log does not."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from hub.postgres import free_port
from hub.settings import CHECKOUT
from sharing import checkpoint
from sharing.receipts import commitment
from tests import oracle
from tests.sharing.conftest import AUDIENCE, Asker, Pool
from tests.sharing.test_answers import WATCH
from tests.sharing.test_log import public_key, tree_of
from warehouse import fingerprint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLS, DESKS, MOST_ANSWERS = 6, 6, 80


def environment(pool: Pool, port: int) -> dict[str, str]:
    url = pool.settings.database_url
    assert url is not None
    return {
        **os.environ, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": url.get_secret_value(), "HUB_SHARING_PORT": str(port),
        "HUB_SHARING_URL": AUDIENCE, "HUB_SHARING_REQUESTS_A_MINUTE": "100000", "HUB_SHARING_MISSES_AN_HOUR": "100000",
    }  # fmt: skip


class Desks:
    """People who ask one after another and keep what they are told, whoever answers or does not.

    Attributes:
        told: answers they hold.
        refused: statuses of answers that were none.
    """

    def __init__(self, address: str, headers: dict[str, str], persons: list[str]) -> None:
        self.told: list[dict[str, Any]] = []
        self.refused: list[int] = []
        self._address, self._headers, self._persons = address, headers, persons
        self._is_over = threading.Event()
        self.more = threading.Condition()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        with ThreadPoolExecutor(DESKS) as rooms:
            asking = [rooms.submit(self._ask, random.Random(n)) for n in range(DESKS)]
            try:
                yield
            finally:
                self._is_over.set()
                for done in asking:
                    done.result()

    def _ask(self, draw: random.Random) -> None:
        with httpx.Client(base_url=self._address, headers=self._headers, timeout=30) as http:
            while not self._is_over.is_set():
                try:
                    answer = http.get(f"/v1/persons/{draw.choice(self._persons)}", params={"purpose": WATCH, "questions": ["insured"]})
                except httpx.TransportError:  # nobody is there now
                    self._is_over.wait(0.05)
                    continue
                with self.more:
                    self.told += [answer.json()] if answer.status_code == 200 else []
                    self.refused += [answer.status_code] if answer.status_code != 200 else []
                    self.more.notify_all()


def test_a_service_killed_while_it_discloses_has_written_down_every_answer_anybody_holds(pool: Pool, civil: Asker) -> None:
    draw, port = random.Random(20260301), free_port()
    with pool.engine.connect() as connection:
        before = fingerprint.scanned(connection)
    persons = [r[0] for r in pool.rows("SELECT person_id::text FROM core.person ORDER BY 1 LIMIT 200")]
    old_head = pool.http.get("/v1/log/checkpoint").text
    desks, entries = Desks(f"http://127.0.0.1:{port}", civil.headers, persons), pool.entries()
    with desks.at_work():
        for _ in range(KILLS):
            child = subprocess.Popen(
                [sys.executable, "-m", "sharing"], cwd=CHECKOUT, env=environment(pool, port), stderr=subprocess.DEVNULL
            )
            with desks.more:
                wanted = len(desks.told) + draw.randint(1, MOST_ANSWERS)
                is_reached = desks.more.wait_for(lambda wanted=wanted: len(desks.told) >= wanted, 120)  # type: ignore[misc]
            child.send_signal(signal.SIGKILL)
            child.wait(30)
            assert is_reached, desks.refused
    oracle.struck("API", KILLS)
    assert set(desks.refused) <= {404} and len(desks.told) >= KILLS, "of some persons the purpose tells nothing"

    tree = tree_of(pool)
    for answer in desks.told:
        held = civil.get(f"/v1/receipts/{answer['receipt']['receipt_id']}").json()
        head = checkpoint.read(held["checkpoint"], public_key(pool))
        leaf = tree.leaf_hash(commitment(held["body"], bytes.fromhex(held["salt"]), tree.digest))
        assert tree.includes(held["leaf_index"], head.size, leaf, [bytes.fromhex(h) for h in held["inclusion"]], head.root)
    assert pool.entries() - entries >= len(desks.told)
    witness = pool.settings.home / "old-head"
    witness.write_text(old_head, encoding="utf-8")
    audited = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "audit", "verify", "--head", str(witness)], cwd=CHECKOUT, env=environment(pool, port),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert audited.returncode == 0, audited.stdout + audited.stderr
    with pool.engine.connect() as connection:
        oracle.same_fingerprint(fingerprint.scanned(connection), before)

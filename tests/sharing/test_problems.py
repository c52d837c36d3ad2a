"""Problems: stable codes, both languages, a next step; and limits that say when to come back."""

import re

import pytest

from hub.settings import CHECKOUT
from sharing.limits import Limit
from sharing.problems import Problem, kinds, language


def test_every_problem_speaks_both_languages_and_says_what_to_do() -> None:
    for kind in kinds().values():
        for text in (kind.title, kind.next):
            assert re.search(r"[\u4e00-\u9fff]", text["zh"]) and re.search(r"[a-z]{3}", text["en"]), kind.code
        assert 400 <= kind.status <= 599


def test_every_code_that_is_raised_is_in_the_table_and_every_code_of_the_table_is_raised() -> None:
    text = "\n".join(p.read_text(encoding="utf-8") for p in (CHECKOUT / "sharing").rglob("*.py"))
    raised = set(re.findall(r'(?:Problem|refuse|Ended)\(\s*"([a-z-]+)"', text)) | {"not-found", "method-not-allowed", "bad-request"}
    assert raised == set(kinds())


@pytest.mark.parametrize(
    ("accept", "spoken"),
    [
        (None, "zh"), ("", "zh"), ("en", "en"), ("en-GB,en;q=0.9", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en;q=0.2, zh;q=0.8", "zh"),
        ("fr", "zh"), ("en;q=0", "zh"), ("en;q=nonsense", "en"), ("*", "zh"), (",;q=,,", "zh"),
    ],
)  # fmt: skip
def test_the_language_is_the_one_the_caller_reads_best(accept: str | None, spoken: str) -> None:
    assert language(accept) == spoken


def test_a_problem_names_the_request_and_no_value() -> None:
    body = Problem("bad-request", errors=[{"pointer": "/x", "message": "missing"}]).body("en", "r-1")
    assert body["request_id"] == "r-1" and body["type"] == "/problems/bad-request" and body["status"] == 400


def test_a_limit_refills_evenly_and_says_how_long_to_wait() -> None:
    now = [0.0]
    limit = Limit(3, 60, clock=lambda: now[0])
    for _ in range(3):
        assert limit.wait_s("a") == 0
        limit.take("a")
    assert limit.wait_s("a") in (20, 21) and limit.wait_s("b") == 0
    now[0] = 20.1
    assert limit.wait_s("a") == 0
    limit.take("a", 10)
    assert limit.wait_s("a") > 180

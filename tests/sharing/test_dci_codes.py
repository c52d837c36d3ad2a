"""The standard's codes: each that is raised is in its layer and on the page, and each speaks both languages."""

import re

import pytest

from hub.settings import CHECKOUT
from sharing.dci.codes import NotTaken, codes
from sharing.problems import Problem, kinds

LAYERS = ("transport", "header", "search", "subscribe", "unsubscribe")
PAGE = (CHECKOUT / "docs" / "dci.md").read_text(encoding="utf-8")
CODE = "\n".join(p.read_text(encoding="utf-8") for p in (CHECKOUT / "sharing" / "dci").glob("*.py"))


def test_every_code_that_is_raised_is_in_its_layer_and_on_the_page():
    raised = set(re.findall(r'Rejected\(\s*"(\w+)",\s*"([a-z_.]+)"', CODE)) | {
        ("transport", c) for c in re.findall(r'NotTaken\(\s*"([a-z_.]+)"', CODE)
    }
    assert len(raised) > 20
    for layer, code in raised:
        assert code in codes(layer), code
        assert f"`{code}`" in PAGE, code


def test_every_code_on_the_page_is_the_standards():
    named = set(re.findall(r"`((?:rjct|err)\.[a-z_.]+)`", PAGE))
    assert named and named <= {code for layer in LAYERS for code in codes(layer)}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_code_speaks_both_languages_and_says_its_status_where_it_has_one(layer):
    for code in codes(layer).values():
        assert re.search(r"[\u4e00-\u9fff]", code.zh) and re.search(r"[a-z]{3}", code.en), code.code
        assert (code.status is not None) is (layer == "transport")


def test_every_problem_of_the_service_has_a_code_of_the_standard_and_keeps_its_status():
    for code in kinds():
        problem = Problem(code, retry_after_s=7)
        told = NotTaken.of(problem)
        assert (told.status, told.retry_after_s) == (problem.kind.status, 7) and code in told.words
        assert told.code.code.startswith("err.")

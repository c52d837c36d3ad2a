"""The quick start is true: its own commands, as they stand in the page, lead from credentials to a verified receipt."""

import re
import subprocess

import pytest

from hub.settings import CHECKOUT
from tests.sharing.test_answers import a_person

pytestmark = pytest.mark.slow
PAGE = (CHECKOUT / "docs" / "sharing.md").read_text(encoding="utf-8")
START = PAGE.split("## Quick start")[1].split("\n## ")[0]


def test_from_credentials_to_a_verified_receipt_by_the_pages_own_commands(pool, address, tmp_path):
    url, environment = address
    row = a_person(pool)
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```", START, re.MULTILINE | re.DOTALL))
    python = "\n".join(re.findall(r"^```python\n(.*?)^```", START, re.MULTILINE | re.DOTALL))
    assert shell.count("curl") >= 5 and "requests.post" in python
    (tmp_path / "example.py").write_text(python, encoding="utf-8")
    variables = {**environment, "HUB": url, "RESIDENT_ID": row.resident_id, "CHECKOUT": str(CHECKOUT)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{shell}\nexport ID SECRET\npython3 example.py"], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "verified" in done.stdout and re.search(r"^(yes|no|unknown) [0-9a-f-]{36}$", done.stdout, re.MULTILINE)
    answer = (tmp_path / "answer.json").read_text(encoding="utf-8")
    assert row.id in answer and row.resident_id not in answer and row.name not in answer


def test_a_dci_program_gets_from_registration_to_an_answer_by_the_pages_own_commands(pool, address, tmp_path):
    url, environment = address
    row = a_person(pool)
    start = (CHECKOUT / "docs" / "dci.md").read_text(encoding="utf-8").split("## Quick start")[1].split("\n## ")[0]
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```", start, re.MULTILINE | re.DOTALL))
    variables = {**environment, "HUB": url, "RESIDENT_ID": row.resident_id}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shell], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = (tmp_path / "answer.json").read_text(encoding="utf-8")
    assert '"status":"succ"' in answer and row.id in answer and row.resident_id not in answer

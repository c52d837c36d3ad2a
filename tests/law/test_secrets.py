"""No secret is among the project's files."""

import re
import subprocess

import pytest

from hub.settings import CHECKOUT

SHAPES = {
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a client's secret": rb"\bhub_[A-Za-z0-9_-]{43}\b",
    "a receiver's secret": rb"\bwhsec_[A-Za-z0-9+/]{40,}",
    "a token": rb"\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.",
    "a password in an address": rb"postgres(ql)?://[a-z_]+:[A-Za-z0-9_-]{16,}@",
}


def found(content: bytes) -> list[str]:
    """The kinds of secret in a file."""
    return [kind for kind, shape in SHAPES.items() if re.search(shape, content)]


def test_no_file_holds_a_secret():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True).stdout.decode().split("\0")
    files = [CHECKOUT / name for name in listed if name and (CHECKOUT / name).is_file()]
    assert len(files) > 300
    assert {str(f.relative_to(CHECKOUT)): found(f.read_bytes()) for f in files if found(f.read_bytes())} == {}


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN " + "EC PRIVATE KEY-----", "hub_" + "aB3-" * 10 + "xyz", "whsec_" + "MfKQ" * 11, "eyJ" + "abcd" * 6 + ".eyJ" + "efgh" * 6 + ".sig",
        "postgresql://hub:" + "0123abcd" * 4 + "@127.0.0.1/hub",
    ],
)  # fmt: skip
def test_a_secret_would_be_found(text):
    assert len(found(text.encode())) == 1

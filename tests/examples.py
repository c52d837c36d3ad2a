"""How many examples a property is tried with: few, the same each time, in the gate; as many as asked for, others each time, in `make search`."""

import os
from typing import Any

from hypothesis import settings


def examples(count: int, **more: Any) -> settings:
    """Settings of a property test.

    Args:
        count: of examples in the gate; in a search, `HUB_TEST_EXAMPLES` says how many.
        more: other settings of hypothesis.
    """
    return settings(max_examples=int(os.environ.get("HUB_TEST_EXAMPLES", count)), deadline=None, **more)

"""The page of locks is true: every test it names exists."""

from benchmarks.locks import PAGE, locks
from hub.settings import CHECKOUT


def test_every_lock_names_tests_that_exist() -> None:
    found = locks(PAGE.read_text(encoding="utf-8"))
    assert [lock.name for lock in found] == [f"S{n}" for n in range(1, 20)]
    for lock in found:
        assert lock.tests, lock.name
        for test in lock.tests:
            file, _, function = test.partition("::")
            assert f"def {function}(" in (CHECKOUT / "tests" / file).read_text(encoding="utf-8"), test

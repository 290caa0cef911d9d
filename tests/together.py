"""Many small cases as one test each file or table, because a test costs more than most of them.

All of them run; those that fail are told by name, each with its own error.
"""

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any

import pytest

#: What `pytest.param` returns; its values go to the check, and its id is the name of the case.
Case = Any
Check = Callable[..., None]


def together(cases: Iterable[Case], *, by: str = "") -> Callable[[Check], Check]:
    """Make one test of a check that takes the values of each case.

    Args:
        by: what ends the part of a name by which cases are put together, such as the file; else all are.
    """
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.id.partition(by)[0] if by else "", []).append(case)

    def made(check: Check) -> Check:
        def each(group: str) -> None:
            _run(check, groups[group])

        def all_of_them() -> None:
            each("")

        test = update_wrapper(each if by else all_of_them, check)
        del test.__dict__["__wrapped__"]  # pytest would ask for what it takes
        return pytest.mark.parametrize("group", groups)(test) if by else test

    return made


def _run(check: Check, cases: Iterable[Case]) -> None:
    failed = [error for case in cases if (error := _error(check, case)) is not None]
    if failed:
        raise BaseExceptionGroup("cases that fail", failed)


def _error(check: Check, case: Case) -> BaseException | None:
    try:
        check(*case.values)
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 -- whatever a test may fail with
        error.add_note(f"the case: {case.id}")
        return error
    return None

"""Small cases that are one test are all run, and those that fail are told by name."""

import pytest

from tests.together import together

CASES = [pytest.param(number, id=f"{'low' if number < 3 else 'high'}: {number}") for number in range(6)]


def test_every_case_that_fails_is_named_and_none_keeps_another_from_being_run() -> None:
    seen: list[int] = []

    @together(CASES)
    def check(number: int) -> None:
        seen.append(number)
        assert number not in {1, 4}
        if number == 5:
            with pytest.raises(ValueError, match="never"):
                pass

    with pytest.raises(BaseExceptionGroup) as caught:
        check()
    assert seen == list(range(6))
    notes = [note for error in caught.value.exceptions for note in error.__notes__]
    assert notes == ["the case: low: 1", "the case: high: 4", "the case: high: 5"]


def test_cases_are_put_together_by_what_their_names_begin_with() -> None:
    seen: list[int] = []

    @together(CASES, by=": ")
    def check(number: int) -> None:
        seen.append(number)

    check("high")
    assert seen == [3, 4, 5]


def test_a_case_that_cannot_be_run_skips_its_group() -> None:
    @together(CASES)
    def check(number: int) -> None:
        pytest.skip(f"no {number}")

    with pytest.raises(pytest.skip.Exception):
        check()

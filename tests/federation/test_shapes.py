"""A class that cannot be a table is refused before it meets a database."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest

from federation.ports import Row
from federation.shapes import Column, check_row, check_rows, shape


class GoodRow(Row, frozen=True, kw_only=True):
    table = "good"
    key = ("id",)
    purpose: ClassVar = {}

    id: Annotated[int, msgspec.Meta(ge=0)]
    state: Literal["open", "closed"]
    share: float | None
    flag: bool
    body: bytes | None = None


def row_class(annotations: dict[str, object], **options: object) -> type[Row]:
    names = {"table": "bad", "key": ("id",), "purpose": {}, "__annotations__": annotations, "__module__": __name__}
    return type("BadRow", (Row,), names | options, frozen=True, kw_only=True)


def test_columns_are_fields_with_their_types() -> None:
    assert shape(GoodRow).columns == (
        Column(name="id", type=int, optional=False),
        Column(name="state", type=str, optional=False),
        Column(name="share", type=float, optional=True),
        Column(name="flag", type=bool, optional=False),
        Column(name="body", type=bytes, optional=True),
    )


@pytest.mark.parametrize(
    ("annotations", "options", "reason"),
    [
        ({"id": int, "tags": tuple[str, ...]}, {}, "column tags is neither"),
        ({"id": int, "either": int | str}, {}, "column either must have exactly one type"),
        ({"id": int, "nothing": None}, {}, "column nothing must have exactly one type"),
        ({"id": int, "Name": str}, {}, "no portable name"),
        ({"id": int}, {"table": 'bad"'}, "no portable name"),
        ({"id": int}, {"key": ("other",)}, "unknown"),
        ({"id": int}, {"key": ()}, "names no column"),
        ({"id": int}, {"unique": (("id", "other"),)}, "unknown"),
        ({"id": int | None}, {}, "may be empty"),
    ],
)
def test_a_class_that_cannot_be_a_table_is_a_mistake(
    annotations: dict[str, object], options: dict[str, object], reason: str
) -> None:
    with pytest.raises(TypeError, match=reason):
        shape(row_class(annotations, **options))


class PlainRow(Row, frozen=True, kw_only=True):
    table = "plain"
    key = ("id",)
    purpose: ClassVar = {}

    id: int
    name: str


GOOD: list[Row] = [PlainRow(id=number, name="x") for number in range(100)]
OTHER: list[Row] = [GoodRow(id=number, state="open", share=0.5, flag=True) for number in range(100)]


@pytest.mark.parametrize("rows", [[], GOOD, OTHER, [*GOOD, *OTHER]], ids=["none", "one kind", "another kind", "both"])
def test_many_rows_that_fit_are_let_through(rows: list[Row]) -> None:
    check_rows(rows)


@pytest.mark.parametrize("place", [0, 50, 100])
@pytest.mark.parametrize(
    "bad",
    [
        {"id": 2**63, "name": "x"},
        {"id": -(2**63) - 1, "name": "x"},
        {"id": True, "name": "x"},
        {"id": 1, "name": b"x"},
        {"id": 1, "name": None},
    ],
)
def test_one_of_many_rows_that_does_not_fit_is_the_mistake_that_it_is_alone(bad: dict[str, Any], place: int) -> None:
    row = PlainRow(**bad)
    with pytest.raises((TypeError, ValueError)) as alone:
        check_row(row)
    with pytest.raises(alone.type, match=str(alone.value)):
        check_rows([*GOOD[:place], row, *GOOD[place:]])


def test_a_number_that_is_none_is_found_among_many_rows() -> None:
    with pytest.raises(ValueError, match="finite"):
        check_rows([*OTHER, GoodRow(id=1, state="open", share=float("nan"), flag=True)])

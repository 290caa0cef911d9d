"""The page of all fields says what the types say, and leaves no body out."""

import pytest

from tests.architecture.house import ROOT
from tests.protocol.test_wires import every_wire

from .fields import OWN, fields_page, listed, title


@pytest.mark.slow
def test_the_page_is_what_the_types_say_now() -> None:
    written = (ROOT / "docs" / "protocol" / "05-fields.md").read_text(encoding="utf-8")
    assert written == fields_page(), "run `python -m tests.docs`: docs/protocol/05-fields.md is not up to date"


def test_every_body_that_crosses_is_on_the_page() -> None:
    # A JWS is no body, and page 03 says all of it.
    crossing = {one for one in every_wire() if one.__module__ != "protocol.jws"} - OWN
    assert crossing <= set(listed())


def test_no_two_bodies_have_one_name_on_the_page() -> None:
    names = [title(one) for one in listed()]
    assert sorted(set(names)) == sorted(names)

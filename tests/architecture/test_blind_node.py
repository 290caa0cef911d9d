"""A node cannot decrypt what is addressed to a person (ADR 0005)."""

from .house import ROOT, python_files

PRIVATE_ROOM = "protocol.e2ee"


def test_the_room_of_private_keys_is_not_even_named_below_the_client() -> None:
    # The import contract cannot see importlib.import_module("..."); a search of the text can.
    naming = [
        str(path.relative_to(ROOT))
        for path in python_files("node", "federation")
        if PRIVATE_ROOM in path.read_text(encoding="utf-8")
    ]
    assert naming == []


def test_no_part_of_the_protocol_outside_the_room_imports_from_it() -> None:
    inside = ROOT / "protocol" / "e2ee"
    importing = [
        str(path.relative_to(ROOT))
        for path in python_files("protocol")
        if inside not in path.parents and "from .e2ee" in path.read_text(encoding="utf-8")
    ]
    assert importing == []

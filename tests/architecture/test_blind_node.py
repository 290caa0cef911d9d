"""A node cannot decrypt what is addressed to a person (ADR 0005)."""

import subprocess
import sys

import pytest

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


#: Imports everything of a node and the program that serves it, then lists what of the room came along.
EVERYTHING = """
import gc, importlib, pkgutil, sys
import cli.main, cli.serve, federation, node
for package in (federation, node):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
for room in sys.argv[1:]:
    print(*(name for name in sys.modules if (name + ".").startswith(room + ".")))
    kept = (one for one in gc.get_objects() if isinstance(one, type) and str(one.__module__).startswith(room))
    print(*(one.__qualname__ for one in kept))
"""


@pytest.mark.slow
def test_a_serving_process_holds_no_module_and_no_secret_type_of_the_room() -> None:
    control = "protocol.sealing"  # what a node does open with
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING, PRIVATE_ROOM, control], cwd=ROOT, check=True, capture_output=True, text=True
    )
    modules, types, known_modules, known_types = done.stdout.splitlines()
    assert (modules, types) == ("", "")
    assert known_modules == control
    assert "SealingPublicKey" in known_types

"""A clone works anywhere: locks without addresses, files without paths of one machine, links that resolve."""

import re
from pathlib import Path

import pytest

from .house import ROOT, texts, tracked_files

LOCKS = ("runtime", "dev", "interop")
PIN = re.compile(r"^[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==[^\s@]+( ; .+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")

# Folders that exist on the machine of one developer. Spelled in parts: this file is tracked too.
PRIVATE_FOLDERS = ("ho" + "me", "ro" + "ot", "Us" + "ers", "wo" + "rk", "op" + "t/pypi", "t" + "mp/[a-z]")
MACHINE_PATH = re.compile(r"(?<![\w.~}$:/-])/(?:" + "|".join(PRIVATE_FOLDERS) + r")(?:/|\b)[\w.-]*")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_pins_and_hashes_and_no_address(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert lines
    assert [line for line in lines if not (PIN.match(line) or HASH.match(line))] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_of_a_lock_is_followed_by_a_hash(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pins = [number for number, line in enumerate(lines) if PIN.match(line)]
    assert all(HASH.match(lines[number + 1]) for number in pins)


@pytest.mark.slow
def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    found = {name: hits for name, text in texts() if (hits := MACHINE_PATH.findall(text))}
    assert found == {}


def test_the_first_screen_of_the_readme_shows_both_commands() -> None:
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:24]
    assert "make demo" in "\n".join(first_screen)
    assert "make test" in "\n".join(first_screen)


def test_every_relative_link_of_the_documentation_leads_to_a_file() -> None:
    broken = [
        f"{name}: {target}"
        for name, text in texts(suffixes=(".md",))
        for target in LINK.findall(CODE.sub("", text))
        if not _resolves(ROOT / name, target)
    ]
    assert broken == []


def test_every_page_of_the_documentation_is_linked_from_an_index() -> None:
    indexes = [(ROOT / name, text) for name, text in texts(suffixes=(".md",)) if Path(name).name == "README.md"]
    linked = {
        (index.parent / target.split("#")[0]).resolve() for index, text in indexes for target in LINK.findall(text)
    }
    pages = {path for path in tracked_files() if path.suffix == ".md" and ROOT / "docs" in path.parents}
    assert [str(page.relative_to(ROOT)) for page in sorted(pages - linked)] == []


def _resolves(page: Path, target: str) -> bool:
    """Return whether a link of `page` is external, or leads to a file or to a heading that exists."""
    if re.match(r"[a-z]+:", target):
        return True
    file, _, anchor = target.partition("#")
    destination = (page.parent / file).resolve() if file else page
    if not destination.exists() or not destination.is_relative_to(ROOT):
        return False
    return not anchor or anchor in _anchors(destination)


def _anchors(page: Path) -> set[str]:
    """Return the anchors that renderers give to the headings of `page`."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}

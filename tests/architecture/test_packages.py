"""The four top-level names are ours alone, and the wheel carries what the packages need (ADR 0001)."""

import importlib.util
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

from .house import PACKAGES, ROOT, python_files, tracked_files

LONGEST_FILE = 420


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_installed_distribution_owns_a_name_of_ours(package: str) -> None:
    # An editable install declares no names, an ordinary one declares all four.
    assert set(packages_distributions().get(package, ())) <= {"mentormesh"}


@pytest.mark.parametrize("package", PACKAGES)
def test_each_name_resolves_to_this_repository(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin == str(ROOT / package / "__init__.py")


def test_the_console_script_loads() -> None:
    (script,) = entry_points(group="console_scripts", name="mentormesh")
    assert callable(script.load())


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {path.relative_to(ROOT).as_posix() for path in tracked_files()}
    assert {name for name in ours if name.startswith(tuple(f"{package}/" for package in PACKAGES))} <= shipped
    assert {name.split("/")[0] for name in shipped} == set(PACKAGES)


def test_every_package_says_in_one_sentence_what_it_holds() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files(*PACKAGES)
        if path.name == "__init__.py" and not path.read_text(encoding="utf-8").startswith('"""')
    ]
    assert silent == []


def test_a_file_of_a_package_can_be_read_in_five_minutes() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files(*PACKAGES)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_folder_with_tests_is_a_package() -> None:
    # Two files of the same name in two folders without one would shadow each other.
    folders = {path.parent for path in python_files("tests")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []

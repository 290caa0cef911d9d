"""What `mentormesh demo` refuses before it starts anything."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main


def demo(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["demo", "--once", *arguments])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--message", ""], "1 to 4000 characters"),
        (["--message", "x" * 4001], "1 to 4000 characters"),
        (["--message", "a\x07b"], "control, invisible or direction"),
        (["--companies", "4"], "1<=x<=3"),
        (["--companies", "two"], "not a valid integer"),
        (["--seed", "-1"], "0<=x"),
        (["--store", "mysql://127.0.0.1/demo"], "neither file nor postgresql nor a URL"),
        (["--store", "Postgresql"], "neither file nor postgresql nor a URL"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments: list[str], words: str, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = demo("--dir", str(folder), *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert not folder.exists()


def test_a_directory_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    result = demo("--dir", str(tmp_path))
    assert result.exit_code == 1
    assert "is not empty: choose a new directory" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    result = demo("--dir", str(file))
    assert result.exit_code == 1
    assert "cannot be used" in result.stderr
    assert file.read_text() == "precious"


def test_a_refusal_is_one_json_object_when_json_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    result = demo("--json", "--dir", str(tmp_path))
    assert result.stdout == ""
    assert '"error":"not-empty"' in result.stderr

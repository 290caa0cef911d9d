"""What commands print stays text, whoever wrote it."""

import errno

import click
import pytest

from cli.output import Output, explain_os_error, fail
from protocol.errors import RefusedError

HOSTILE = "Ana\x1b]0;pwned\x07\x9b2J\u202egnp.exe\r\x08"
OBEYED = set("\x1b\x07\x9b\u202e\r\x08")


def test_nothing_that_a_terminal_obeys_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False)
    output.result(None, HOSTILE)
    output.result(None, ["   indented", HOSTILE])
    output.say(HOSTILE)
    output.table(None, ("name",), [(HOSTILE,)], empty="")
    fail(click.Context(click.Command("x")), RefusedError(HOSTILE))
    said = "".join(capsys.readouterr())
    assert said.count("Ana") == 5
    assert "   indented" in said
    assert not OBEYED & set(said)


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, "disk-full", "the disk is full"),
        (errno.EDQUOT, "disk-full", "the disk is full"),
        (errno.ENOENT, "system", "there is no people.csv: check the path"),
        (errno.EACCES, "system", "this user may not use people.csv"),
        (errno.EROFS, "system", "this user may not use people.csv"),
        (errno.EIO, "system", "the system refused people.csv: broken"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(number: int, code: str, words: str) -> None:
    error = explain_os_error(OSError(number, "broken", "people.csv"))
    assert error.code == code
    assert words in str(error)

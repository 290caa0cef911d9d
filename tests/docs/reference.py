"""Writes the reference pages from the program itself: settings, commands, HTTP routes."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from cli.main import COMMANDS, main
from node.api.openapi import plain_path
from node.api.routes import Route
from node.api.table import ALL_ROUTES
from node.config import fields_of, meaning, sections
from node.toml import value_text

HOW: Final = "<!-- Written by `python -m tests.docs`; a test compares it with the program. -->"

#: Who may call a route, in words.
CALLERS: Final[Mapping[str, str]] = {
    "public": "anybody",
    "device": "a signed-in device: `Authorization: Bearer` with the token of its sign-in",
    "peer": "another node: a signed request (RFC 9421) by the transport key of a peer",
    "operator": "a program on this machine with the token of `DIR/operator.token`",
    "local": "a program on this machine; from elsewhere with the operator's token",
    "page": "a browser, at the node's own page address",
}


CONFIGURATION: Final = f"""# Configuration

{HOW}

A node reads `DIR/mentormesh.toml` and then the variables of its environment, which go before the file. A variable is
named after section and setting: `[limits] body_s` is `MENTORMESH_LIMITS_BODY_S`. It holds text as it is, and everything
else as in the file: `30`, `true`, `["en", "de"]`.

An unknown section, setting or variable is refused with the nearest name. `mentormesh config check` names every mistake
in one go, `mentormesh config show` prints what holds. Changes take effect at the next start.

Times are in the unit that ends the name: `_s` seconds, `_ms` milliseconds, `_days` days."""

COMMANDS_PAGE: Final = f"""# Commands

{HOW}

`mentormesh` is the one program. Every command takes `--json`: then standard output carries one line of JSON for each
result. Data goes to standard output and messages to standard error, with or without it.

| exit code | means |
|---|---|
| 0 | done |
| 1 | refused or failed; standard error says why in one sentence, and what to do |
| 2 | the command was not understood |
| 3 | not available now; try again later |

With `--json` an error is one line on standard error: `{{"error":"refused","detail":"…","do":"…"}}`.

Commands for the operator name the node's directory with `--dir`, or find it in `MENTORMESH_DIR`, or take the current
one. They reach a running node over loopback and open the directory of a stopped one; the answer is the same."""

ROUTES_PAGE: Final = f"""# HTTP interface

{HOW}

Every route of a node, by who may call it. A node describes itself in full, with all types, as an OpenAPI 3.1 document
at `/openapi.json`; `mentormesh openapi` prints the same without a node.

Requests and answers are JSON in UTF-8 unless a route says otherwise. A body must have the stated content type and no
content encoding; unknown fields, repeated keys and NUL are refused. Paths are never percent-encoded.

Everything but a success is a problem ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with the stable word `code`;
it names the field and the rule and repeats nothing of the request. `Retry-After` says when to come back.

A node answers under the authority of its API base. Public reading, devices and what is for this machine also answer at
`127.0.0.1:PORT`, and in development pages live at `NAME.localhost:PORT`. Any other `Host` is misdirected (421)."""


def configuration() -> str:
    """Return docs/reference/configuration.md."""
    lines = [CONFIGURATION]
    for name, kind in sections().items():
        lines += ["", f"## [{name}]", "", (kind.__doc__ or "").strip(), ""]
        lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
        lines += [_setting(field) for field in fields_of(kind).values()]
    return "\n".join(lines) + "\n"


def _setting(field: msgspec.structs.FieldInfo) -> str:
    cells = (f"`{field.name}`", kind_of(field.type), _default(field), meaning(field))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "(required)"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"`{value_text(msgspec.to_builtins(value))}`"


def kind_of(declared: Any) -> str:  # noqa: ANN401 -- any annotation
    """Return the type of a setting in words, with its bounds."""
    info = msgspec.inspect.type_info(declared)
    if isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    match info:
        case msgspec.inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in info.values)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return ("whole number" if isinstance(info, msgspec.inspect.IntType) else "number") + _bounds(info)
        case msgspec.inspect.VarTupleType():
            return "list of text"
        case msgspec.inspect.DictType():
            return "table of text"
    return "text"


def _bounds(info: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    signs = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
    bounds = [f"{sign} {getattr(info, name)}" for name, sign in signs if getattr(info, name) is not None]
    return f" {', '.join(bounds)}" if bounds else ""


def commands() -> str:
    """Return docs/reference/cli.md."""
    lines = [COMMANDS_PAGE]
    for path, context in walk():
        lines += ["", f"## {path}", "", "```text", _help(context), "```"]
    return "\n".join(lines) + "\n"


def walk() -> Iterator[tuple[str, click.Context]]:
    """Yield every command with its words and context, groups before what is in them."""
    program = main.make_context("mentormesh", ["--help"], resilient_parsing=True)
    program.terminal_width = program.max_content_width = 100
    for name in sorted(COMMANDS):
        command = main.get_command(program, name)
        assert command is not None
        yield from _inside(program, name, command)


def _inside(parent: click.Context, name: str, command: click.Command) -> Iterator[tuple[str, click.Context]]:
    command._help_option = None  # click keeps the one of whoever ran the command first, such as another test
    context = click.Context(command, parent=parent, info_name=name)
    yield context.command_path, context
    if isinstance(command, click.Group):
        for inner in sorted(command.commands):
            yield from _inside(context, inner, command.commands[inner])


def _help(context: click.Context) -> str:
    return re.sub(r"[ \t]+$", "", context.get_help(), flags=re.MULTILINE)


def routes() -> str:
    """Return docs/reference/http-api.md."""
    lines = [ROUTES_PAGE]
    for auth, who in CALLERS.items():
        listed = sorted((one for one in ALL_ROUTES if one.auth == auth), key=lambda one: (one.path, one.method))
        lines += ["", f"## For {auth}", "", f"Who: {who}.", ""]
        lines += ["| route | what | request | answer |", "|---|---|---|---|"]
        lines += [_route(one) for one in listed]
    return "\n".join(lines) + "\n"


def _route(route: Route) -> str:
    request = _body(route.request, route.request_content_type)
    if route.query is not None:
        names = ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(route.query))
        request = f"query {names}"
    answer = f"{route.status} {_body(route.response, route.response_content_type)}".strip()
    return f"| `{route.method} {plain_path(route.path)}` | {route.summary} | {request} | {answer} |"


def _body(kind: Any, content_type: str) -> str:  # noqa: ANN401 -- any type that msgspec knows
    if kind is None:
        return "" if content_type == "application/json" else f"`{content_type}`"
    name = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    return f"`{re.sub(r'[a-z_]+[.](?=[A-Za-z_])', '', name)}`".replace("|", "&#124;")


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": commands,
    "configuration.md": configuration,
    "http-api.md": routes,
}


def write(folder: Path) -> None:
    """Write all pages into `folder`."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")

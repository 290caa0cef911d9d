"""How operator commands reach a node: over HTTP when it runs, else by opening its directory; the answer is the same."""

import asyncio
import functools
import http.client
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from node import config as configuration
from node import lock as locking
from node.keys import operator_token
from node.operations import Command
from protocol.encoding import decode_loose
from protocol.errors import (
    LimitError,
    MalformedError,
    MeshError,
    MissingError,
    RefusedError,
    UnavailableError,
    UnverifiedError,
)

from .output import Output, json_option

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

TIMEOUT_S: Final = 120.0
LARGEST_ANSWER: Final = 64 * 1024 * 1024


class NodeAccess(Protocol):
    """The node as a command sees it."""

    @property
    def runs(self) -> bool:
        """Whether a process serves this node now."""
        ...

    async def call(self, name: str, command: Command, kind: type[T]) -> T:
        """Return the result of the operation `name`. Raises: MeshError: the operation's own."""
        ...


class DirectNode:
    """A node that does not run: its parts are made here, for one command."""

    runs = False

    def __init__(self, operations: Any) -> None:  # noqa: ANN401 -- node.operations.Operations, imported late
        self._operations = operations

    async def call(self, name: str, command: Command, kind: type[T]) -> T:
        """Return the result of the operation `name`."""
        result: T = await self._operations.call(name, command, kind)
        return result


class RunningNode:
    """A node that runs: asked over loopback with the operator's token."""

    runs = True

    def __init__(self, url: str, token: str, *, certificate: Path | None) -> None:
        self._url = urlsplit(url)
        self._token = token
        self._certificate = certificate

    async def call(self, name: str, command: Command, kind: type[T]) -> T:
        """Return the result of the operation `name`."""
        answer = await asyncio.to_thread(
            self.ask, "POST", f"/operator/v1/operations/{name}", msgspec.json.encode(command)
        )
        return decode_loose(answer, kind, what="answer of the node")

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Return the body of one answer. Raises: MeshError: the problem that was answered, or no answer."""
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            raw = answer.read(LARGEST_ANSWER)
        except (OSError, http.client.HTTPException):
            raise UnavailableError("the node runs but does not answer: see its log") from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise problem_error(raw)
        return raw

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port or 0
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        # The certificate is for the public name: pin the file itself instead of a name.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(self._certificate)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


class _Problem(msgspec.Struct, frozen=True):
    status: int
    detail: str
    code: str
    retry_at: int | None = None


def problem_error(raw: bytes) -> MeshError:
    """Return the error that a node answered with (RFC 9457)."""
    try:
        problem = decode_loose(raw, _Problem, what="answer of the node")
    except MalformedError:
        return UnavailableError("the node answered something that is not a problem: see its log")
    if problem.status in {413, 429}:
        return LimitError(problem.detail, code=problem.code, retry_at=problem.retry_at)
    if problem.status >= 500:
        return UnavailableError(problem.detail, code=problem.code, retry_at=problem.retry_at)
    kinds: dict[int, type[MeshError]] = {400: MalformedError, 401: UnverifiedError, 404: MissingError}
    return kinds.get(problem.status, RefusedError)(problem.detail, code=problem.code)


@asynccontextmanager
async def open_node(directory: Path) -> AsyncIterator[NodeAccess]:
    """Yield the node of a directory, whether it runs or not.

    Raises: MeshError: no such node, wrong permissions, or another command is at work on it.
    """
    config = configuration.load(directory, os.environ)
    url = locking.serving_at(directory)
    if url is not None:
        certificate = directory / config.tls.certificate if config.tls.certificate else None
        yield RunningNode(url, operator_token(directory), certificate=certificate)
        return
    from node.app import open_node as open_directory

    with locking.hold(directory):
        async with open_directory(directory, config) as node:
            yield DirectNode(node.operations)


def directory_option(function: F) -> F:
    """Give a command `--dir`, as the argument `directory`."""
    option = click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="MENTORMESH_DIR",
        default=".",
        show_default="the current one",
        show_envvar=True,
        help="Directory of the node.",
    )
    return option(function)


def operator_command(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn `async def command(node, output, …)` into one with `--dir` and `--json`; `@click.command` stands above."""

    @directory_option
    @json_option
    @functools.wraps(function)
    def command(directory: Path, *, as_json: bool, **parameters: Any) -> None:  # noqa: ANN401 -- the command's own
        async def run() -> None:
            async with open_node(directory) as node:
                await function(node, Output(as_json=as_json), **parameters)

        asyncio.run(run())

    return command

"""What an operator can do to a node: one table that the command line and the operator API share.

A service module gives `operations(service) -> tuple[Operation, ...]`; `node/app.py` puts them together. A command
calls `await node.call("member.list", ListMembers(...), Members)` and does not know whether the node runs.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, Literal, TypeVar

import msgspec

from protocol.encoding import decode_loose
from protocol.errors import MissingError

T = TypeVar("T")

_encoder: Final = msgspec.json.Encoder()


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what an operation is asked; a subclass without fields is a question without details."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an operator can do.

    `name` is `noun.verb`, such as `peer.invite`. `run` takes a `request` and returns a `response`, both types that
    msgspec can write as JSON; None when there is nothing to say. `needs` is about a node of several processes:
    something that only the one on duty can do, or that is done while no other one runs.
    """

    name: str
    summary: str
    request: type[Command]
    response: Any
    run: Callable[[Any], Awaitable[object]]
    needs: Literal["", "duty", "alone"] = ""


def anything(_: Operation) -> AbstractAsyncContextManager[None]:
    """Permit every operation."""
    return nullcontext()


class Operations:
    """All operations of one node, by name."""

    def __init__(
        self,
        operations: Iterable[Operation],
        *,
        permit: Callable[[Operation], AbstractAsyncContextManager[None]] = anything,
    ) -> None:
        """Take the operations, each of which is done inside of `permit`, which raises if it cannot be done here now."""
        listed = tuple(operations)
        self._permit: Final = permit
        self.by_name: Final[Mapping[str, Operation]] = {one.name: one for one in listed}
        if len(self.by_name) != len(listed):
            raise ValueError("two operations have one name")

    def get(self, name: str) -> Operation:
        """Return the operation of this name. Raises: MissingError."""
        if name not in self.by_name:
            raise MissingError("there is no such operation")
        return self.by_name[name]

    async def call(self, name: str, command: Command, kind: type[T]) -> T:
        """Return the result of an operation, exactly as it would come over HTTP.

        Raises: MissingError: no such operation; any MeshError of the operation.
        """
        answer = await self.call_json(name, _encoder.encode(command))
        return decode_loose(answer, kind, what="result")

    async def call_json(self, name: str, command: bytes) -> bytes:
        """Return the JSON result for a JSON command. Raises: MalformedError, MissingError, the operation's own."""
        operation = self.get(name)
        return await self.answer(operation, decode_loose(command, operation.request, what="command"))

    async def answer(self, operation: Operation, command: object) -> bytes:
        """Return the JSON result for a command that was read. Raises: MeshError: the operation's own."""
        async with self._permit(operation):
            return _encoder.encode(await operation.run(command))

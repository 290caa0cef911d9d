"""What a database says of itself, by field for storage."""

from typing import ClassVar

from federation.ports import Row


class MetaRow(Row, frozen=True, kw_only=True):
    """The one row about the database itself.

    `generation` grows and `restored_at` is set each time the database comes back from a backup: what peers sent
    before `restored_at` may have been forgotten, so requests signed before it are refused.
    """

    table = "meta"
    key = ("id",)
    purpose: ClassVar = {
        "id": "always 1: there is one row",
        "generation": "operation: tell a restored database from the one it was copied from",
        "created_at": "operation: age of the database",
        "restored_at": "security: refuse requests whose nonces a restore has forgotten",
    }

    id: int = 1
    generation: int
    created_at: int
    restored_at: int | None = None


class MigrationRow(Row, frozen=True, kw_only=True):
    """One change of the schema that this database has been through."""

    table = "migration"
    key = ("number",)
    purpose: ClassVar = {
        "number": "operation: which change of the schema",
        "name": "operation: file name of the change",
        "sha256": "operation: detect a change that was edited after it ran",
        "applied_at": "operation: when the change ran",
    }

    number: int
    name: str
    sha256: str
    applied_at: int


class LastCommitRow(Row, frozen=True, kw_only=True):
    """The newest change that one process has committed, where the database is a server's: kept for a day."""

    table = "last_commit"
    key = ("process",)
    purpose: ClassVar = {
        "process": "operation: a process of the node, random with each start",
        "number": "operation: tell whether a commit was kept whose answer was lost",
        "at": "retention: when the process committed last",
    }

    process: str
    number: int
    at: int

"""The tables of encrypted files, which `node/rows.py` gives with the others."""

from typing import ClassVar

from federation.ports import Row


class BlobRow(Row, frozen=True, kw_only=True):
    """One encrypted file of a session that waits for the other person; its bytes stand beside the database."""

    table = "blob"
    key = ("blob",)
    purpose: ClassVar = {
        "blob": "session: name of the file, random",
        "thread": "session: who may fetch it",
        "side": "session: role of this node in the thread",
        "label": "session: mailbox of its owner, random",
        "peer": "session: the organization that may fetch it",
        "size": "security: bound what is kept",
        "stored": "service: how much of it has arrived",
        "expires_at": "retention: when it is erased at the latest",
    }

    blob: str
    thread: str
    side: str
    label: str
    peer: str
    size: int
    stored: int = 0
    expires_at: int


class BlobPieceRow(Row, frozen=True, kw_only=True):
    """Some bytes of an encrypted file: in PostgreSQL and in backups. Beside a file of rows, files hold them instead."""

    table = "blob_piece"
    key = ("blob", "piece")
    purpose: ClassVar = {
        "blob": "session: name of the file, random",
        "piece": "operation: order of the pieces",
        "data": "session: ciphertext that no node can open",
    }

    blob: str
    piece: int
    data: bytes

"""What an administrator does who puts another key in the place of a colleague's: changes in the node's own database.

The node publishes what its tables say, and signs it like everything else.
"""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from node.store.inspection import Where
from protocol.devices import DEVICE_TYP, DeviceCertificate
from protocol.e2ee.keys import AccountSecret, DeviceSecret, PersonSealingKey, enrol
from protocol.encoding import decode, encode
from protocol.jws import parse

if TYPE_CHECKING:
    from node.store.postgres.connection import Server

#: A running node writes in moments.
PATIENCE_S: Final = 10.0


class Impostor(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of the employer's own that are to pass for those of a person; `label` is the person's."""

    account: AccountSecret
    device: DeviceSecret
    label: str

    def enrolment(self, audience: str, *, now: int) -> bytes:
        """Return what a device of the person would have told the node, with these keys."""
        keys = (PersonSealingKey(self.device.seed),)
        told = enrol(self.account, self.device, keys, audience=audience, now=now)
        return encode(replace(told, label=self.label))


def take_out(database: Where, *, device_key: str) -> None:
    """Let a person's device vanish from the directory."""
    _change(database, "UPDATE enrolment SET expires_at = 0 WHERE device_key = ?", device_key)


def put_in(database: Where, impostor: Impostor, *, device_key: str, audience: str, now: int) -> None:
    """Put the impostor's keys in the place of a person's device, under the person's label."""
    enrolment = impostor.enrolment(audience, now=now)
    text = msgspec.json.decode(enrolment)["certificate"]
    certificate = decode(parse(text, DEVICE_TYP).payload, DeviceCertificate, what="certificate")
    _change(
        database,
        "UPDATE enrolment SET enrolment = ?, device_id = ?, identity_key = ?, device_key = ?, expires_at = ? "
        "WHERE device_key = ?",
        enrolment,
        certificate.device_id,
        impostor.account.identity(audience).public.text,
        certificate.device_key,
        certificate.expires_at,
        device_key,
    )


def _change(database: Where, statement: str, *values: str | bytes | int) -> None:
    if isinstance(database, Path):
        with closing(sqlite3.connect(database, timeout=PATIENCE_S)) as connection, connection:
            changed = connection.execute(statement, values).rowcount
    else:
        changed = asyncio.run(_change_there(database, f"{statement} RETURNING 1", values))
    if changed != 1:
        raise LookupError("no such device in the database")


async def _change_there(database: "Server", statement: str, values: tuple[str | bytes | int, ...]) -> int:
    from node.store.postgres.rows import patient

    async with patient(database, now=int(time.time())) as rows:
        return len(await rows.query(statement, values))

"""Random labels under which a person's mailbox and directory entries are known; one table resolves them."""

from federation.ports import Entropy, Reader, Writer, where
from node.rows import LabelRow, MemberRow
from protocol.ids import ID_BYTES, random_id

#: The audience of the label that the node makes for the mailbox itself.
MAILBOX = ""


async def mailbox_label(writer: Writer, member: str, entropy: Entropy) -> str:
    """Return the label of a member's own mailbox; the first call makes it. It stays as long as the account does."""
    known = await label_for(writer, member, MAILBOX)
    if known is not None:
        return known
    row = LabelRow(label=random_id(entropy.take(ID_BYTES)), member=member)
    await writer.insert(row)
    return row.label


async def label_for(reader: Reader, member: str, audience: str) -> str | None:
    """Return the label of a member towards one audience, or None when there is none yet."""
    rows = await reader.find(LabelRow, where(member=member, audience=audience), limit=1)
    return rows[0].label if rows else None


async def member_of(reader: Reader, label: str) -> MemberRow | None:
    """Return the member behind a label, or None when it was never given or is forgotten."""
    row = await reader.get(LabelRow, label)
    return await reader.get(MemberRow, row.member) if row else None

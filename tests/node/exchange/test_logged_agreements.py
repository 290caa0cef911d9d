"""What the exchange has to do with the nodes' logs: commitments to agreements, and checkpoints that messages carry."""

from federation.rows import LogAgreementRow, MessageRow, ThreadRow
from federation.sequencer import Sequencer
from node.services.consumer import ConsumerNotes
from protocol.agreement import agreement_hash
from protocol.encoding import b64, decode, unb64
from protocol.logleaves import NodeKeyLeaf
from protocol.messages import open_message, parse_item

from .conftest import Town
from .people import agree, waiting_request
from .world import TestNode, settle


async def logged(node: TestNode) -> list[tuple[str, str, bytes]]:
    async with node.store.read() as rows:
        return [(row.thread, row.side, row.digest) for row in await rows.find(LogAgreementRow)]


async def test_both_nodes_commit_to_a_final_agreement_once_and_to_no_other(town: Town) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    await settle(town.aurora, town.cobalt)
    entry = await waiting_request(town.ben)
    assert [await logged(node) for node in (town.aurora, town.cobalt)] == [[], []]
    await agree(town.ben, town.aurora, slot=entry.held[0])
    await settle(town.aurora, town.cobalt)
    async with town.aurora.store.read() as rows:
        thread = await rows.get(ThreadRow, mentee.thread, "consumer")
    assert thread is not None
    digest = unb64(agreement_hash(decode(thread.notes, ConsumerNotes).agreement))
    assert await logged(town.aurora) == [(mentee.thread, "consumer", digest)]
    assert await logged(town.cobalt) == [(mentee.thread, "provider", digest)]


async def test_messages_carry_the_newest_checkpoint_of_the_sender(town: Town) -> None:
    aurora = town.aurora
    key = aurora.keys.envelope_sign
    log = Sequencer(aurora.store, town.clock, own=aurora.entity, key=key, generation=1)
    async with aurora.store.write() as tx:
        await log.append(tx, NodeKeyLeaf(role="http", key=b64(bytes(32))))
    signed = await log.sequence()
    assert signed is not None
    mentee = town.mentee()
    await mentee.quote()
    async with aurora.store.read() as rows:
        (first,) = [row for row in await rows.find(MessageRow) if row.sender == "consumer"]
    found = open_message(parse_item(first.item), key.public, audience=town.cobalt.entity).head.checkpoint
    assert found is not None
    assert (found.origin, found.size, found.root) == (signed.origin, 1, b64(signed.root))

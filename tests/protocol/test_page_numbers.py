"""Sizes, counts and times on the pages are those of the program."""

import pytest

from federation import discovery, inbox, outbox, pauses, pending
from node.sections import HandshakeSection, KeysSection, PrivacySection
from node.services import consumer, mentor_side, quota, quoting, sessions, threads
from node.services.mailbox import MAX_PAGE
from protocol import bodies, envelope, handshake, jws, messages, peers, sealing, session
from protocol.e2ee.emoji import EMOJI
from protocol.threads import MAX_MESSAGES

from .pages import PAGES

DAY_S = 86_400
SETTINGS = HandshakeSection()


def page(name: str) -> str:
    return next(PAGES.glob(f"{name}-*.md")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("03", f"at most {jws.MAX_JWS_BYTES:,} characters"),
        ("04", f"The public key is {sealing.PUBLIC_BYTES:,} bytes"),
        ("04", f"{sealing.OVERHEAD_BYTES:,} bytes longer than its plaintext"),
        ("30", f"exactly {messages.ITEM_BYTES:,} bytes"),
        ("30", f"at most {MAX_MESSAGES} messages of each side"),
        ("43", " · ".join(f"{number} {picture} {word}" for number, (picture, word) in enumerate(EMOJI))),
        ("20", f"at most {peers.MAX_ROTATIONS} statements of §4"),
        ("20", f"before, at most {peers.MAX_EARLIER} each"),
        ("20", f"at most once in {discovery.REFETCH_S} s for each peer"),
        ("20", f"at most {peers.MAX_DOCUMENT_BYTES // 1024} KiB"),
        ("20", f"({KeysSection().overlap_days} unless its administrator"),
        ("20", f"From {pending.WAIT_S // 3600} hours after it was first seen"),
        ("21", f"once in {discovery.REFETCH_S} s for each of its documents"),
        ("31", f"at most {handshake.MAX_COUNTERS} counters"),
        ("31", f"at most {consumer.MAX_OPEN} open requests"),
        ("31", f"the {quoting.SHORTLIST} mentors behind the offer"),
        ("31", f"the shortlist has {quoting.COLLEAGUES}"),
        ("31", f"At most {quoting.CANDIDATES} of them are proposed"),
        ("31", f"at least {quoting.SHARED_BY} mentors"),
        ("31", f"used last within {quoting.DEVICE_DAYS} days"),
        ("31", f"({', '.join(f'{most:,}' for most in quota.MEMBERS.values())}), and at least {SETTINGS.quota_least}"),
        ("31", f"at most {SETTINGS.quota_percent} % of the members"),
        ("31", f"next multiple of {SETTINGS.tick_ms} ms"),
        ("31", f"A quote is valid for {SETTINGS.quote_valid_s // 60} minutes"),
        ("31", f"more than {mentor_side.GRACE_S // 60} minutes after `valid_until`"),
        ("31", f"the receipt and {SETTINGS.expiry_grace_s // 60} minutes"),
        ("32", f"1 to {bodies.MAX_WINDOW_S:,}"),
        ("32", f"({session.TEXT_WINDOW_S:,} unless"),
        ("33", f"1 to {messages.MAX_BATCH_ITEMS} items"),
        ("33", f"at most {messages.MAX_BATCH_BYTES:,} bytes"),
        ("33", f"1 to {messages.MAX_ITEM_BYTES:,} bytes"),
        ("33", f"at least {inbox.KEEP_S // DAY_S} days"),
        ("33", f"again after {outbox.THREAD_PAUSE_MS // 1000} s, twice as long"),
        ("33", f"{pauses.LONGEST_PAUSE_S:.0f} s at most"),
        ("33", f"| less than 15 minutes | {pauses.PAUSES[0][1]:.0f} s |"),
        ("33", f"| less than a day | {pauses.PAUSES[1][1]:.0f} s |"),
        ("33", f"| longer | {pauses.LONGEST_PAUSE_S:.0f} s |"),
        ("33", f"between {pauses.SHORTEST_PAUSE_S} s"),
        ("33", f"fixed beat ({SETTINGS.flush_s:.0f} s)"),
        ("33", f"tried for {threads.DELIVER_S // DAY_S} days, session envelopes for {sessions.DELIVER_S // DAY_S}"),
        ("41", f"at most {envelope.MAX_CIPHERTEXT_BYTES:,} bytes"),
        ("41", f"{mentor_side.ITEM_TEXT:,} characters"),
        ("41", f"after {PrivacySection().undelivered_days} days in any case"),
        ("41", f"{session.LIFE_S // DAY_S} days after the end"),
    ],
)
def test_a_page_states_the_number_of_the_program(name: str, sentence: str) -> None:
    assert sentence in page(name)


def test_a_batch_is_no_larger_than_four_mebibytes_and_a_page_of_a_mailbox_than_two_hundred_entries() -> None:
    assert (messages.MAX_BATCH_BYTES, MAX_PAGE) == (4_194_304, 200)

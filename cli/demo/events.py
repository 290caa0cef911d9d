"""What the demo says on standard output with `--json`: one object a line, in unescaped UTF-8, flushed at once."""

import sys
from typing import Final

import msgspec

from cli.client.views import Role

from .people import Device


class NodeReady(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="node"):
    """A node answers: `{"event":"node","name":"aurora","url":"http://127.0.0.1:40027"}`."""

    name: str
    url: str


class MessageShown(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="shown"):
    """A device shows a message: `{"event":"shown","company":"aurora","role":"mentee","device":"phone","text":"…"}`."""

    company: str
    role: Role
    device: Device
    text: str


class LogWitnessed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="witnessed"):
    """A company's witness signed another's log: `{"event":"witnessed","log":"aurora","witness":"birch","size":12}`."""

    log: str
    witness: str
    size: int


class ProcessServed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="process"):
    """What one of several processes did: `{"event":"process","company":"aurora","pid":4711,"connections":41,…}`.

    `connections` are those that the balancer gave it; `killed` says that it was, and `on_duty` whether it did then, or
    does, what one process does for all.
    """

    company: str
    pid: int
    connections: int
    on_duty: bool
    killed: bool


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="step"):
    """One line of a staged attack: `{"event":"step","number":3,"title":"…","who":"aurora","text":"…","at":4.2}`.

    `at` is in seconds since the first step; `who` is empty when it is nobody's.
    """

    number: int
    title: str
    who: str
    text: str
    at: float


class AttackSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of a staged attack; `caught` decides the exit code.

    `found` are the kinds of evidence that each of the others holds, `verified` the files that verify offline and name
    the liar with the key that the others had pinned; `missed` says what did not happen. `found_seconds` is the time
    from the second story to the evidence that everybody holds.
    """

    attack: str
    caught: bool
    liar: str
    found: dict[str, tuple[str, ...]]
    frozen_by: tuple[str, ...]
    verified: tuple[str, ...]
    thawed_by: tuple[str, ...]
    missed: str
    folder: str
    found_seconds: float
    seconds: float


class ReadingSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The last line when two administrators tried to read a session; `unread` decides the exit code.

    `fields` were said, each with a mark; `file_hits` and `memory_hits` count it, and the two names, at `places`;
    `memory_skipped` says why no memory was searched. `known_hits` is how often the same search found each company's
    own name in the memory of its node.
    """

    attack: str
    unread: bool
    fields: tuple[str, ...]
    file_hits: int
    memory_hits: int
    places: tuple[str, ...]
    file_bytes: int
    memory_bytes: int
    memory_skipped: str
    known_hits: dict[str, int]
    folder: str
    seconds: float


class SwapSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The last line when an employer's node showed another key as its member's; `caught` decides the exit code.

    `looks` is what the member's looks at the other company came to, in order; `evidence` the file that verifies.
    """

    attack: str
    caught: bool
    by: str
    looks: tuple[str, ...]
    evidence: str
    missed: str
    folder: str
    seconds: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of a run; every figure is read from what happened.

    `store` is what the nodes keep their rows in: `file`, or the version of PostgreSQL, with several processes a node.
    `handshake_states` are those of the handshake that was finalized, as both servers hold it; `refused_before` refusals
    before it; `cosignatures` companies' signatures under each other's logs; `plaintext_hits_on_nodes` occurrences of
    any word of theirs below `DIR/nodes`; `not_searchable` labels of texts too short or too common to search for; times
    are seconds.
    """

    seed: int
    companies: int
    store: str
    folder: str
    report: str
    handshake_states: tuple[str, ...]
    agreement: str
    refused_before: int
    mentor_received: tuple[str, ...]
    mentee_received: tuple[str, ...]
    cosignatures: int
    plaintext_hits_on_nodes: int
    searched_files: int
    searched_bytes: int
    searched_spellings: int
    not_searchable: tuple[str, ...]
    setup_seconds: float
    story_seconds: float
    seconds: float


Attacked = AttackSummary | ReadingSummary | SwapSummary
Said = NodeReady | MessageShown | LogWitnessed | ProcessServed | Step | Summary | Attacked


class JsonLines:
    """Writes the lines; without `--json` nothing."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled: Final = enabled

    def tell(self, value: Said) -> None:
        """Write one line. Raises: BrokenPipeError: nobody reads any more."""
        if self.enabled:
            # Bytes, not text: the line is UTF-8 whatever the terminal speaks.
            sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
            sys.stdout.buffer.flush()

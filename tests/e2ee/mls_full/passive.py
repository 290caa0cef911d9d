"""A client that follows a group of other implementations: proposals by reference, pre-shared keys, public messages."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from protocol.e2ee.mls.codec import Reader, u16, whole
from protocol.e2ee.mls.commits import Draft, Rules, follow
from protocol.e2ee.mls.framing import COMMIT, PRIVATE_MESSAGE, Signed, verify_content
from protocol.e2ee.mls.framing import PROPOSAL as PROPOSAL_CONTENT
from protocol.e2ee.mls.group import hear
from protocol.e2ee.mls.profile import VERSION, Profile
from protocol.e2ee.mls.proposals import read_proposal
from protocol.e2ee.mls.schedule import Derived, GroupContext
from protocol.e2ee.mls.state import Group
from protocol.e2ee.mls.suites import Suite
from protocol.e2ee.mls.tree import with_update

from .messages import (
    PRE_SHARED_KEY,
    PUBLIC_MESSAGE,
    ContextExtensions,
    Raw,
    Update,
    read_more,
    read_public,
)

EXTERNAL_PSK: Final = 1
WIDE: Final = Profile(max_leaves=1024, check_lifetimes=False)


class Full:
    """The hooks of a profile without limits."""

    def __init__(self, suite: Suite, psks: Mapping[bytes, bytes]) -> None:
        self.suite: Final = suite
        self.psks: Final = psks
        self.sent: Final[dict[bytes, tuple[Any, int]]] = {}
        self.epochs: Final[dict[tuple[bytes, int], bytes]] = {}

    def read_proposal(self, kind: int, reader: Reader) -> Any:  # noqa: ANN401 -- a hook
        """Return a proposal of any kind."""
        return read_more(kind, reader)

    def skip_proposal(self, reader: Reader) -> None:
        """Read a proposal that is a message of its own."""
        read_proposal(reader, replace(WIDE, extras=self))

    def resolve(self, reference: bytes) -> tuple[Any, int]:
        """Return a proposal that was heard before."""
        return self.sent[reference]

    def apply(self, proposal: Any, sender: int, draft: Draft) -> Draft:  # noqa: ANN401 -- a hook
        """Return the draft with the effect of a proposal."""
        if isinstance(proposal, Update):
            return replace(draft, tree=with_update(draft.tree, sender, proposal.leaf))
        if isinstance(proposal, ContextExtensions):
            return replace(draft, extensions=proposal.extensions)
        assert isinstance(proposal, Raw)
        assert proposal.kind == PRE_SHARED_KEY
        return replace(draft, psks=(*draft.psks, proposal.data))

    def needs_path(self, proposal: Any) -> bool:  # noqa: ANN401 -- a hook
        """Return whether a commit with this proposal needs a path."""
        return not isinstance(proposal, Raw)

    def psk_secret(self, ids: tuple[bytes, ...]) -> bytes:
        """Return the secret of pre-shared keys (RFC 9420 §8.4)."""
        return psk_secret(self.suite, [(each, self._psk(each)) for each in ids])

    def _psk(self, psk_id: bytes) -> bytes:
        reader = Reader(psk_id, what="a pre-shared key")
        if reader.u8() == EXTERNAL_PSK:
            return self.psks[reader.vector()]
        reader.u8()
        return self.epochs[reader.vector(), reader.u64()]

    def entered(self, context: GroupContext, derived: Derived) -> None:
        """Remember the secret by which later commits refer to this epoch."""
        self.epochs[context.group_id, context.epoch] = self.suite.derive(derived.epoch, b"resumption")


def psk_secret(suite: Suite, psks: list[tuple[bytes, bytes]]) -> bytes:
    """Return the secret of pre-shared keys, each with its encoded id."""
    secret = suite.zero
    for at, (name, psk) in enumerate(psks):
        extracted = suite.extract(suite.zero, psk)
        label = name + u16(at) + u16(len(psks))
        secret = suite.extract(suite.expand(extracted, b"derived psk", label, suite.hash_bytes), secret)
    return secret


class Follower:
    """One member that only listens."""

    def __init__(self, group: Group, full: Full, rules: Rules) -> None:
        self.group: Group = group
        self._full: Final = full
        self._rules: Final = rules

    def hear(self, data: bytes) -> None:
        """Take a message of any kind."""
        reader = Reader(data, what="a message")
        assert reader.u16() == VERSION
        if reader.u16() == PRIVATE_MESSAGE:
            after, _ = hear(self.group, data, self._rules)
            assert after is not None
            self.group = after
            return
        message = read_public(reader, self._rules.profile)
        reader.end()
        signed = message.signed()
        sender = self.group.tree.leaf(signed.content.sender)
        assert sender is not None
        context = self.group.encoded
        verify_content(signed, self.group.suite, sender.signature_key, context, wire_format=PUBLIC_MESSAGE)
        if signed.content.content_type == PROPOSAL_CONTENT:
            self._remember(signed)
        else:
            assert signed.content.content_type == COMMIT
            followed = follow(self.group, signed, self._rules, wire_format=PUBLIC_MESSAGE)
            assert followed.group is not None
            self.group = followed.group

    def _remember(self, signed: Signed) -> None:
        profile = self._rules.profile
        proposal = whole(signed.content.body, lambda reader: read_proposal(reader, profile), what="a proposal")
        said = u16(PUBLIC_MESSAGE) + signed.content.encoded() + signed.auth()
        name = self.group.suite.reference(b"MLS 1.0 Proposal Reference", said)
        self._full.sent[name] = (proposal, signed.content.sender)


def membership_key(suite: Suite, derived: Derived) -> bytes:
    """Return the key of membership tags, which the profile never needs."""
    return suite.derive(derived.epoch, b"membership")

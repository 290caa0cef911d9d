"""Lets people of a peer look for themselves in what this node mirrors, and gives its own people leave elsewhere.

All people of an organization show one token for a day: a mirror counts them together and knows nobody.
Source: docs/protocol/13-key-directory.md §10.
"""

from typing import Final

import msgspec

from federation.directory import PeerDirectory
from federation.limits import Buckets
from federation.ports import Clock
from protocol.directorypages import AskDirectoryPage, DirectoryPage, TokenText, check_token, make_token
from protocol.errors import MissingError, UnverifiedError
from protocol.ids import Bytes32
from protocol.signing import SigningKey

from .key_lookup import KeyLookup

#: Pages that the people of one organization may fetch in a minute, in one audience.
PER_MINUTE: Final = 600


class WantDirectoryToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For which audience."""

    audience: Bytes32


class DirectoryTokenGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Today's token of an audience; everybody here gets the same."""

    token: TokenText


class ForeignChecks:
    """Tokens for this node's people, and pages for those of its peers."""

    def __init__(self, lookup: KeyLookup, directory: PeerDirectory, clock: Clock, *, own: str, key: SigningKey) -> None:
        """Take the parts; `key` is this node's `attest` key."""
        self._lookup: Final = lookup
        self._directory: Final = directory
        self._clock: Final = clock
        self._own: Final = own
        self._key = key
        self._budget: Final = Buckets(per_minute=PER_MINUTE)

    def rekey(self, key: SigningKey) -> None:
        """Sign with another key from now on."""
        self._key = key

    def token(self, wanted: WantDirectoryToken) -> DirectoryTokenGiven:
        """Return today's token. Raises: MissingError: this node meets nobody in that audience."""
        now = self._clock.now()
        if not any(wanted.audience in peer.audiences(self._own, now) for peer in self._directory.all()):
            raise MissingError("there is no such audience", code="no-audience")
        return DirectoryTokenGiven(token=make_token(wanted.audience, self._key, issuer=self._own, now=now))

    async def page(self, asked: AskDirectoryPage) -> DirectoryPage:
        """Return one page of the asker's own organization's directory as this node mirrors it.

        Raises: UnverifiedError: no token of a peer for today and this audience; LimitError: its people asked too often;
            MissingError: no such page, or nothing proven at the moment.
        """
        now = self._clock.now()
        try:
            peer = self._directory.get(asked.issuer)
        except MissingError:
            raise UnverifiedError("directory token is of no peer", code="unknown-issuer") from None
        check_token(asked, peer.document.attest_keys, now=now)
        if asked.audience not in peer.audiences(self._own, now) or not peer.may("catalog", now=now):
            raise UnverifiedError("directory token is for another directory", code="wrong-audience")
        self._budget.take(f"{asked.issuer} {asked.audience}", now_ms=self._clock.now_ms())
        return await self._lookup.page(asked.issuer, asked.audience, asked.page)

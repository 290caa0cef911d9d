"""Work that is done once: keys, because every run has the same companies and people; signatures and notes seen before.

What is kept is the result of real code for the very same bytes; what fails is worked out anew each time.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from typing import Any, Final
from unittest.mock import patch

from protocol.e2ee.keys import AccountSecret, DeviceKey, DeviceSecret, IdentityKey, MasterKey, ReplyKey
from protocol.sealing import SealingPublicKey
from protocol.signing import VerifyKey
from protocol.tlog import checkpoint, note
from tests.node.exchange import people

#: One-time keys come and go; these many are kept of a kind.
KEPT: Final = 2048
#: Signatures; a run verifies some six hundred, about half of them for the second time.
KEPT_SIGNATURES: Final = 8192

_master: Final = AccountSecret.master
_identity: Final = AccountSecret.identity
_device: Final = DeviceSecret.key
_verify: Final = VerifyKey.verify


@cache
def _masters(seed: bytes) -> MasterKey:
    return _master(AccountSecret(seed))


@cache
def _identities(seed: bytes, audience: str) -> IdentityKey:
    return _identity(AccountSecret(seed), audience)


@cache
def _devices(seed: bytes, audience: str) -> DeviceKey:
    return _device(DeviceSecret(seed), audience)


@cache
def _one_of_many(number: int) -> ReplyKey:
    return ReplyKey(bytes([number]) * 32)


@lru_cache(KEPT_SIGNATURES)
def _verified(key: VerifyKey, signature: bytes, message: bytes, what: str) -> None:
    _verify(key, signature, message, what=what)


def _verify_once(self: VerifyKey, signature: bytes, message: bytes, *, what: str = "signature") -> None:
    _verified(self, signature, message, what)


_parse_note: Final = lru_cache(KEPT)(note.parse_note)
_check_name: Final = lru_cache(KEPT)(note.check_name)
_verify_key: Final = lru_cache(KEPT)(VerifyKey.parse)
_sealing_key: Final = lru_cache(KEPT)(SealingPublicKey.parse)


@contextmanager
def kept_keys() -> Iterator[None]:
    """Give out what was parsed, derived or verified before instead of a new one; one-time keys are drawn from 256."""
    instead: tuple[tuple[Any, str, Any], ...] = (
        (people, "ReplyKey", lambda seed: _one_of_many(seed[0])),
        (AccountSecret, "master", lambda self: _masters(self.seed)),
        (AccountSecret, "identity", lambda self, audience: _identities(self.seed, audience)),
        (DeviceSecret, "key", lambda self, audience: _devices(self.seed, audience)),
        (VerifyKey, "parse", _verify_key),
        (VerifyKey, "verify", _verify_once),
        (SealingPublicKey, "parse", _sealing_key),
        (checkpoint, "parse_note", _parse_note),
        (note, "check_name", _check_name),
    )
    with ExitStack() as stack:
        for owner, name, known in instead:
            stack.enter_context(patch.object(owner, name, known))
        yield

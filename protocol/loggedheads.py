"""That a set head stands in its origin's log: the step which all proofs about sets share.

Source: docs/protocol/54-log-proofs.md, docs/protocol/55-node-log.md §2.
"""

from typing import Final

import msgspec

from .encoding import b64
from .heads import SetHead
from .logleaves import head_leaf, is_log_of, render_leaf
from .signing import Signer
from .tlog.checkpoint import OtherOriginError, open_checkpoint
from .tlog.merkle import leaf_hash, verify_inclusion
from .tlog.note import LogKey
from .tlog.proof import parse_log_proof

#: A log proof of 63 hashes and a checkpoint with a dozen witnesses.
MAX_LOG_PROOF: Final = 16 * 1024


class LoggedAt(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint under which a head stands in its log; `root` is base64url."""

    origin: str
    size: int
    root: str


def verify_logged(log: str, head: SetHead, jws: str, log_key: Signer) -> LoggedAt:
    """Return under which checkpoint of its origin's log a head stands.

    Args:
        log: C2SP log proof of the head's leaf.
        jws: the head as it was signed.
    Raises: MalformedError; UnverifiedError: another log, signature, or path to the root.
    """
    log_proof = parse_log_proof(log.encode())
    origin = log_proof.checkpoint.checkpoint.origin
    if not is_log_of(head.origin, origin):
        raise OtherOriginError("checkpoint is of another log than that of the head's origin")
    keys = [LogKey(name=origin, key=one) for one in log_key.every]
    checkpoint = open_checkpoint(log_proof.checkpoint, keys).checkpoint
    verify_inclusion(
        checkpoint.root,
        leaf=leaf_hash(render_leaf(head_leaf(head, jws))),
        index=log_proof.index,
        size=checkpoint.size,
        proof=log_proof.hashes,
    )
    return LoggedAt(origin=origin, size=checkpoint.size, root=b64(checkpoint.root))

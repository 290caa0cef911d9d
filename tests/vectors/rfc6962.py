"""RFC 6962 §2.1 written as the RFC writes it, recursive and slow: the judge of the program's trees and proofs."""

from hashlib import sha256


def leaf(entry: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + entry).digest()


def mth(hashes: list[bytes]) -> bytes:
    """Return MTH(D[n]) over leaf hashes."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = largest_power_below(len(hashes))
    return sha256(b"\x01" + mth(hashes[:split]) + mth(hashes[split:])).digest()


def path(index: int, hashes: list[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]): the inclusion proof."""
    if len(hashes) == 1:
        return []
    split = largest_power_below(len(hashes))
    if index < split:
        return [*path(index, hashes[:split]), mth(hashes[split:])]
    return [*path(index - split, hashes[split:]), mth(hashes[:split])]


def proof(old_size: int, hashes: list[bytes]) -> list[bytes]:
    """Return PROOF(m, D[n]): the consistency proof; empty from size 0, which the RFC leaves out."""
    return _subproof(old_size, hashes, whole=True) if old_size else []


def _subproof(old_size: int, hashes: list[bytes], *, whole: bool) -> list[bytes]:
    if old_size == len(hashes):
        return [] if whole else [mth(hashes)]
    split = largest_power_below(len(hashes))
    if old_size <= split:
        return [*_subproof(old_size, hashes[:split], whole=whole), mth(hashes[split:])]
    return [*_subproof(old_size - split, hashes[split:], whole=False), mth(hashes[:split])]


def largest_power_below(count: int) -> int:
    """Return the largest power of two smaller than `count`."""
    return 1 << (count - 1).bit_length() - 1

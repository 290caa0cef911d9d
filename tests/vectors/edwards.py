"""The curve of Ed25519, as far as bad keys and signatures need it; from RFC 8032 §5.1, slow and for vectors only."""

import hashlib
from typing import Final

P: Final = 2**255 - 19
#: Order of the base point.
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, P) % P
_ROOT: Final = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """Return the sum of two points."""
    product = _D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P)
    return x % P, y % P


def times(factor: int, point: Point) -> Point:
    """Return `factor` times `point`."""
    result: Point = (0, 1)
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


def encoded(point: Point) -> bytes:
    """Return the 32 bytes of a point."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decoded(data: bytes) -> Point:
    """Return the point of 32 canonical bytes that are known to be one."""
    number = int.from_bytes(data, "little")
    y = number & (2**255 - 1)
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * _ROOT % P
    return (x if x & 1 == number >> 255 else P - x), y


BASE: Final = decoded((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def torsion() -> Point:
    """Return a point of order 8: what is left of some point outside the group of the base point."""
    y = 2
    while True:
        square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
        if pow(square, (P - 1) // 2, P) == 1:
            point = times(ORDER, decoded(y.to_bytes(32, "little")))
            if times(4, point) != (0, 1):
                return point
        y += 1


def secret_scalar(seed: bytes) -> int:
    """Return the scalar that RFC 8032 §5.1.5 makes of a seed."""
    low = bytearray(hashlib.sha512(seed).digest()[:32])
    low[0] &= 248
    low[31] = (low[31] & 127) | 64
    return int.from_bytes(low, "little")


def challenge(nonce_point: bytes, key: bytes, message: bytes) -> int:
    """Return the hash that ties a signature to nonce point, key and message."""
    return int.from_bytes(hashlib.sha512(nonce_point + key + message).digest(), "little") % ORDER

"""Whole key directories at a foreign mirror: a person looks for their own entry where their employer cannot bend it.

A home node gives all its people one token for an audience and a day, so that the mirror learns their organization and
nobody's name. Source: docs/protocol/13-key-directory.md §10.
"""

from typing import Annotated, Final

import msgspec

from . import jws
from .encoding import Wire, b64, decode, encode, unb64
from .errors import UnverifiedError
from .heads import SKEW_S
from .ids import Bytes32, Entity, Seconds, parse_entity
from .keyproof import HeadProof
from .pages import MAX_PAGE_BYTES, MAX_PAGES
from .signing import Signer, SigningKey

TOKEN_TYP: Final = "mentormesh-directory-token+jws"  # noqa: S105 -- a type, no secret
DIRECTORY_PAGES_PATH: Final = "/federation/v1/directory-pages"
DAY_S: Final = 86_400
#: A check that began before midnight may end after it.
GRACE_S: Final = 3_600

Day = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
TokenText = Annotated[str, msgspec.Meta(min_length=100, max_length=1200)]


class DirectoryToken(Wire, frozen=True, kw_only=True):
    """Leave to read the directory of `issuer` at its mirrors, by its `attest` key; Ed25519 makes it the same for all.

    {"audience":"…43…","day":20454,"issuer":"https://aurora.example"}

    `day` counts days since 1970-01-01 UTC.
    """

    audience: Bytes32
    day: Day
    issuer: Entity

    def __post_init__(self) -> None:
        parse_entity(self.issuer, what="issuer")


class AskDirectoryPage(Wire, frozen=True, kw_only=True):
    """`{"audience":"…43…","issuer":"https://aurora.example","page":0,"token":"<JWS>"}`: pages from 0."""

    audience: Bytes32
    issuer: Entity
    page: Annotated[int, msgspec.Meta(ge=0, lt=MAX_PAGES)] = 0
    token: TokenText

    def __post_init__(self) -> None:
        parse_entity(self.issuer, what="issuer")


class DirectoryPage(Wire, frozen=True, kw_only=True):
    """The head that the mirror holds, with its proof, and one page of it as in `pages`: `{"head":{…},"page":"…"}`.

    `named` are the attesters that the registry of a larger audience names.
    """

    head: HeadProof
    named: Annotated[tuple[Entity, ...], msgspec.Meta(max_length=8)] = ()
    page: Annotated[str, msgspec.Meta(max_length=MAX_PAGE_BYTES * 4 // 3 + 4)]

    @property
    def data(self) -> bytes:
        """The page as served between nodes. Raises: MalformedError."""
        return unb64(self.page, what="page")


def day_of(now: Seconds) -> int:
    """Return the day of a moment."""
    return now // DAY_S


def make_token(audience: str, key: SigningKey, *, issuer: str, now: int) -> str:
    """Return the token of today."""
    return jws.sign(encode(DirectoryToken(audience=audience, day=day_of(now), issuer=issuer)), key, TOKEN_TYP)


def check_token(asked: AskDirectoryPage, key: Signer, *, now: int) -> DirectoryToken:
    """Return the token of a question once its issuer gave it for this audience and this day.

    Args:
        key: the `attest` keys of the issuer that the question names.
    Raises: MalformedError; UnverifiedError: signature, another audience or issuer, or not this day.
    """
    said = decode(jws.parse(asked.token, TOKEN_TYP).verify(key), DirectoryToken, what="directory token")
    if (said.audience, said.issuer) != (asked.audience, asked.issuer):
        raise UnverifiedError("directory token is for another directory", code="wrong-audience")
    if not said.day * DAY_S - SKEW_S <= now < (said.day + 1) * DAY_S + GRACE_S:
        raise UnverifiedError("directory token is of another day", code="wrong-time")
    return said


def page_answer(head: HeadProof, page: bytes, named: tuple[str, ...] = ()) -> DirectoryPage:
    """Return the answer with one page."""
    return DirectoryPage(head=head, named=named, page=b64(page))

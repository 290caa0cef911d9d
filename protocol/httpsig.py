"""Signed HTTP requests and responses between nodes: profile mm-httpsig/1 of RFC 9421 with RFC 9530 digests.

One label, one algorithm, one list of components; every accepted message has one spelling, so
`render(parse(x)) == x`. The base is built over the bytes of the request line as they were sent. RFC 9421 allows far
more; all of that is refused here, each kind of it by an error of its own (`signature_errors`).
Source: docs/protocol/21-transport.md.
"""

import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from .digest import check_content_digest, content_digest
from .encoding import b64
from .errors import UnverifiedError
from .signature_errors import (
    AlgorithmError,
    BadSignatureError,
    ClockSkewError,
    ComponentListError,
    DuplicateHeaderError,
    ExpiredError,
    LabelError,
    LifetimeError,
    MissingComponentError,
    MissingDigestError,
    MissingParameterError,
    ParameterError,
    SignatureSyntaxError,
    TagError,
    TargetError,
    UnsignedError,
    WrongExchangeError,
    WrongKeyError,
)
from .signing import SigningKey, VerifyKey

TAG: Final = "mentormesh"
NONCE_BYTES: Final = 16
#: Longest life of a signature, and how far the signer's clock may be ahead, in seconds.
MAX_LIFETIME_S: Final = 300
MAX_SKEW_S: Final = 60

_MAX_HEADER: Final = 1024
_SPELLING: Final = "Signature and Signature-Input must be spelled as the profile says"
_WITHOUT_BODY: Final = ('"@method"', '"@authority"', '"@path"', '"@query"', '"content-digest"')
_WITH_BODY: Final = (*_WITHOUT_BODY, '"content-type"')
_RESPONSE: Final = (
    '"@status"',
    '"content-digest"',
    '"@method";req',
    '"@authority";req',
    '"@path";req',
    '"@query";req',
    '"signature";key="sig1";req',
)
_WITHOUT_BODY_LIST: Final = f"({' '.join(_WITHOUT_BODY)})"
_WITH_BODY_LIST: Final = f"({' '.join(_WITH_BODY)})"
_RESPONSE_LIST: Final = f"({' '.join(_RESPONSE)})"
#: List as spelled in Signature-Input → whether it covers the content type.
_REQUEST_LISTS: Final = {_WITHOUT_BODY_LIST: False, _WITH_BODY_LIST: True}
_RESPONSE_LISTS: Final = {_RESPONSE_LIST: False}

#: Signature-Input as we write it; other orders of the parameters are read by `_read`.
_OWN_SPELLING: Final = re.compile(
    rf"sig1=(({re.escape(_WITH_BODY_LIST)}|{re.escape(_WITHOUT_BODY_LIST)}|{re.escape(_RESPONSE_LIST)})"
    r";created=([1-9][0-9]{0,11});expires=([1-9][0-9]{0,11})"
    r';nonce="([A-Za-z0-9_-]{21}[AQgw])";keyid="([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])"'
    rf';alg="ed25519";tag="{TAG}")',
    re.ASCII,
)
#: `sig1=:`, 64 bytes of base64, `:`; the last character carries two bits, so only these four ends are canonical.
_SIGNATURE_LENGTH: Final = 6 + 88 + 1
_SIGNATURE_ENDS: Final = ("A==:", "Q==:", "g==:", "w==:")
_COMPONENT: Final = re.compile(r'"[@a-z-]+"(?:;[a-z]+(?:="[a-z0-9]+")?)*', re.ASCII)
_INTEGER: Final = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_NONCE: Final = re.compile(r'"([A-Za-z0-9_-]{21}[AQgw])"', re.ASCII)
_KEYID: Final = re.compile(r'"([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])"', re.ASCII)
_LABELLED: Final = re.compile(r"[a-z*][a-z0-9_.*-]*=", re.ASCII)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE"})
_TARGET: Final = re.compile(r"/[!-\"$->@-~]*(?:\?[!-\"$-~]+)?", re.ASCII)
_TYPE: Final = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?", re.ASCII)
_PARAMETERS: Final = ("created", "expires", "nonce", "keyid", "alg", "tag")
_HEADERS: Final = frozenset({"signature-input", "signature", "content-digest", "content-type"})


class RequestLine(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of whom: method, configured authority of the server and the target exactly as sent.

    Raises: TargetError: the target is not origin-form, visible ASCII, without fragment or empty query.
    """

    method: str
    authority: str
    target: str

    def __post_init__(self) -> None:
        if self.method not in _METHODS or not _TARGET.fullmatch(self.target):
            raise TargetError("request must be GET, POST, PUT or DELETE of a path and optional query in ASCII")

    def lines(self, suffix: str = "") -> str:
        """Return the four lines of the signature base; `suffix` is `;req` inside a response."""
        path, mark, query = self.target.partition("?")
        return (
            f'"@method"{suffix}: {self.method}\n"@authority"{suffix}: {self.authority}\n'
            f'"@path"{suffix}: {path}\n"@query"{suffix}: {mark or "?"}{query}\n'
        )


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One signed request as its response refers to it."""

    line: RequestLine
    signature: bytes
    nonce: str


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Headers to send, and what the response must refer to."""

    headers: dict[str, str]
    asked: Asked


class MessageSignature(msgspec.Struct, frozen=True, kw_only=True):
    """The signature of one message, taken apart and not verified yet.

    `parameters` is the text behind `sig1=`, byte for byte, because it is the last line of the signature base.
    """

    parameters: str
    signature: bytes
    digest: str
    content_type: str | None
    created: int
    expires: int
    nonce: str
    keyid: str

    def render(self) -> dict[str, str]:
        """Return the headers this was parsed from, names in lower case."""
        return _headers(f"sig1={self.parameters}", self.signature, self.digest, self.content_type)

    def check_time(self, now: int) -> None:
        """Return if the signature is alive at `now`. Raises: LifetimeError, ClockSkewError, ExpiredError."""
        if not 0 < self.expires - self.created <= MAX_LIFETIME_S:
            raise LifetimeError(f"signature must expire 1 to {MAX_LIFETIME_S} s after it was created")
        if self.created > now + MAX_SKEW_S:
            raise ClockSkewError(f"signature was created more than {MAX_SKEW_S} s in the future: compare the clocks")
        if now > self.expires:
            raise ExpiredError("signature has expired: compare the clocks, then sign again")


def sign_request(
    line: RequestLine, body: bytes, content_type: str | None, *, key: SigningKey, now: int, nonce: bytes
) -> SignedRequest:
    """Return the headers that sign a request; `content_type` is None exactly when `body` is empty."""
    if (content_type is None) != (not body) or len(nonce) != NONCE_BYTES:
        raise ValueError("a body needs a content type, an empty body has none; a nonce is 16 bytes")
    digest = content_digest(body)
    covered = _WITHOUT_BODY_LIST if content_type is None else _WITH_BODY_LIST
    parameters = _parameters(covered, key.public.keyid, b64(nonce), now)
    signature = key.sign(_request_base(line, digest, content_type, parameters))
    return SignedRequest(
        headers=_headers(f"sig1={parameters}", signature, digest, content_type),
        asked=Asked(line=line, signature=signature, nonce=b64(nonce)),
    )


def parse_request(headers: Iterable[tuple[str, str]]) -> MessageSignature:
    """Return the signature of a request from its header lines. Raises: a class of `signature_errors`."""
    return _parse(headers, _REQUEST_LISTS, _WITHOUT_BODY)


def verify_request(signed: MessageSignature, line: RequestLine, body: bytes, *, key: VerifyKey, now: int) -> Asked:
    """Return what a response must refer to, once `key` signed exactly this request and it is alive at `now`.

    Raises: LifetimeError, ClockSkewError, ExpiredError, DigestMismatchError, MissingComponentError,
    ComponentListError, WrongKeyError, BadSignatureError.
    """
    signed.check_time(now)
    check_content_digest(signed.digest, body)
    if body and signed.content_type is None:
        raise MissingComponentError('signature of a request with a body must cover "content-type"')
    if not body and signed.content_type is not None:
        raise ComponentListError("signature of a request without a body covers no content type")
    _verify(signed, _request_base(line, signed.digest, signed.content_type, signed.parameters), key)
    return Asked(line=line, signature=signed.signature, nonce=signed.nonce)


def sign_response(status: int, body: bytes, *, asked: Asked, key: SigningKey, now: int) -> dict[str, str]:
    """Return the headers that sign a response to `asked`; it repeats the nonce of the request."""
    digest = content_digest(body)
    parameters = _parameters(_RESPONSE_LIST, key.public.keyid, asked.nonce, now)
    signature = key.sign(_response_base(status, digest, asked, parameters))
    return _headers(f"sig1={parameters}", signature, digest, None)


def parse_response(headers: Iterable[tuple[str, str]]) -> MessageSignature:
    """Return the signature of a response from its header lines. Raises: a class of `signature_errors`."""
    return _parse(headers, _RESPONSE_LISTS, _RESPONSE)


def verify_response(
    signed: MessageSignature, status: int, body: bytes, *, asked: Asked, key: VerifyKey, now: int
) -> None:
    """Return once `key` signed exactly this answer to exactly this request.

    Raises: LifetimeError, ClockSkewError, ExpiredError, DigestMismatchError, WrongExchangeError, WrongKeyError,
    BadSignatureError.
    """
    signed.check_time(now)
    check_content_digest(signed.digest, body)
    if signed.nonce != asked.nonce:
        raise WrongExchangeError("response repeats another request's nonce")
    _verify(signed, _response_base(status, signed.digest, asked, signed.parameters), key)


def _parse(headers: Iterable[tuple[str, str]], lists: Mapping[str, bool], wanted: tuple[str, ...]) -> MessageSignature:
    found = _pick(headers)
    given, encoded = found.get("signature-input"), found.get("signature")
    if given is None or encoded is None:
        raise UnsignedError("message needs both Signature and Signature-Input")
    digest = found.get("content-digest")
    if digest is None:
        raise MissingDigestError("Content-Digest is missing; an empty body has one too")
    own = _OWN_SPELLING.fullmatch(given)
    parameters, covered, created, expires, nonce, keyid = own.groups() if own else _read(given)
    covers_type = lists.get(covered)
    if covers_type is None:
        raise _list_error(covered, wanted)
    return MessageSignature(
        parameters=parameters,
        signature=_signature(encoded),
        digest=digest,
        content_type=_content_type(found.get("content-type")) if covers_type else None,
        created=int(created),
        expires=int(expires),
        nonce=nonce,
        keyid=keyid,
    )


def _read(given: str) -> tuple[str, ...]:
    """Return what the groups of `_OWN_SPELLING` hold, for parameters in any order, or say what is wrong."""
    _check_label(given)
    parameters = given.removeprefix("sig1=")
    covered, bracket, rest = parameters.partition(")")
    if not bracket or (rest and not rest.startswith(";")):
        raise SignatureSyntaxError(_SPELLING)
    values = _values(rest)
    nonce = _text(values["nonce"], _NONCE, "nonce must be 16 bytes of base64url")
    keyid = _text(values["keyid"], _KEYID, "keyid must be an RFC 7638 thumbprint")
    return parameters, covered + ")", _integer(values["created"]), _integer(values["expires"]), nonce, keyid


def _signature(encoded: str) -> bytes:
    """Return the 64 bytes of `sig1=:…:` in its only spelling."""
    if len(encoded) == _SIGNATURE_LENGTH and encoded.startswith("sig1=:") and encoded.endswith(_SIGNATURE_ENDS):
        try:
            return binascii.a2b_base64(encoded[6:-1], strict_mode=True)
        except ValueError:
            raise SignatureSyntaxError(_SPELLING) from None
    _check_label(encoded)
    raise SignatureSyntaxError(_SPELLING)


def _pick(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the four headers of interest. Raises: DuplicateHeaderError: one of them stands twice."""
    found: dict[str, str] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in _HEADERS:
            if lowered in found:
                raise DuplicateHeaderError(f"{lowered} stands twice")
            found[lowered] = value
    return found


def _check_label(value: str) -> None:
    if len(value) > _MAX_HEADER:
        raise SignatureSyntaxError(_SPELLING)
    if "," in value or (_LABELLED.match(value) and not value.startswith("sig1=")):
        raise LabelError("message must carry exactly one signature, labelled sig1")
    if not value.startswith("sig1="):
        raise SignatureSyntaxError(_SPELLING)


def _list_error(covered: str, wanted: tuple[str, ...]) -> UnverifiedError:
    names = _COMPONENT.findall(covered)
    for name in wanted:
        if name not in names:
            return MissingComponentError(f"signature must cover {name}")
    return ComponentListError("signature must cover the components of the profile, in its order, and no others")


def _values(text: str) -> dict[str, str]:
    """Return the parameters of `;created=…;…` with algorithm and tag checked; any order, each exactly once."""
    values: dict[str, str] = {}
    for part in text.split(";")[1:]:
        name, _, value = part.partition("=")
        if name not in _PARAMETERS or name in values:
            raise ParameterError("signature has an unknown or repeated parameter")
        values[name] = value
    if len(values) != len(_PARAMETERS):
        missing = next(name for name in _PARAMETERS if name not in values)
        raise MissingParameterError(f"signature has no parameter {missing}")
    if values["alg"] != '"ed25519"':
        raise AlgorithmError("signature algorithm must be ed25519")
    if values["tag"] != f'"{TAG}"':
        raise TagError(f"signature tag must be {TAG}")
    return values


def _integer(value: str) -> str:
    if not _INTEGER.fullmatch(value):
        raise ParameterError("created and expires must be Unix seconds")
    return value


def _text(value: str, form: re.Pattern[str], rule: str) -> str:
    match = form.fullmatch(value)
    if match is None:
        raise ParameterError(rule)
    return match[1]


def _content_type(value: str | None) -> str:
    if value is None:
        raise MissingComponentError('signature covers "content-type", but the message has none')
    if not _TYPE.fullmatch(value):
        raise SignatureSyntaxError("Content-Type must be visible ASCII")
    return value


def _parameters(covered: str, keyid: str, nonce: str, now: int) -> str:
    return (
        f'{covered};created={now};expires={now + MAX_LIFETIME_S};nonce="{nonce}";keyid="{keyid}"'
        f';alg="ed25519";tag="{TAG}"'
    )


def _headers(given: str, signature: bytes, digest: str, content_type: str | None) -> dict[str, str]:
    headers = {"content-digest": digest, "signature-input": given, "signature": f"sig1={_item(signature)}"}
    return headers if content_type is None else {"content-type": content_type, **headers}


def _request_base(line: RequestLine, digest: str, content_type: str | None, parameters: str) -> bytes:
    kind = "" if content_type is None else f'"content-type": {content_type}\n'
    return f'{line.lines()}"content-digest": {digest}\n{kind}"@signature-params": {parameters}'.encode("ascii")


def _response_base(status: int, digest: str, asked: Asked, parameters: str) -> bytes:
    return (
        f'"@status": {status}\n"content-digest": {digest}\n{asked.line.lines(";req")}'
        f'"signature";key="sig1";req: {_item(asked.signature)}\n"@signature-params": {parameters}'
    ).encode("ascii")


def _item(signature: bytes) -> str:
    """Return the signature as it stands in the header, `:…:`."""
    return f":{binascii.b2a_base64(signature, newline=False).decode('ascii')}:"


def _verify(signed: MessageSignature, base: bytes, key: VerifyKey) -> None:
    if signed.keyid != key.keyid:
        raise WrongKeyError("signature names another key")
    try:
        key.verify(signed.signature, base)
    except UnverifiedError:
        raise BadSignatureError("signature does not verify over the message as it arrived") from None

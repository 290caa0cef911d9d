"""Tables of catalogs: what this node lists, and what it mirrors."""

from typing import ClassVar

from federation.ports import Row


class CatalogRow(Row, frozen=True, kw_only=True):
    """What one audience is shown and will be shown: compressed MessagePack of `protocol.editions.Catalog`."""

    table = "catalog"
    key = ("audience",)
    purpose: ClassVar = {
        "audience": "offers: who is shown this catalog",
        "edition": "offers: number of the edition it is from",
        "state": "privacy: who could have held each listed cell all the time, so that k holds over time",
        "changed_at": "operation: when the edition was made",
    }

    audience: str
    edition: int
    state: bytes
    changed_at: int


class SetHeadRow(Row, frozen=True, kw_only=True):
    """A set head this node signed. Its pages stand under the first head with the same content, `pages_of`."""

    table = "set_head"
    key = ("audience", "kind", "seq")
    purpose: ClassVar = {
        "audience": "offers: who is shown the set",
        "kind": "offers: which set",
        "seq": "offers: place in the chain of heads",
        "head": "offers: the signed head",
        "head_hash": "offers: what the next head names as the one before",
        "pages_of": "offers: sequence number under which the pages are kept",
        "pages": "offers: number of pages",
        "generation": "security: notice that the database came back from a backup",
        "issued_at": "retention: older heads and pages are deleted",
    }

    audience: str
    kind: str
    seq: int
    head: str
    head_hash: str
    pages_of: int
    pages: int
    generation: int
    issued_at: int


class SetPageRow(Row, frozen=True, kw_only=True):
    """One snapshot page as it is served."""

    table = "set_page"
    key = ("audience", "kind", "seq", "page")
    purpose: ClassVar = {
        "audience": "offers: who is shown the set",
        "kind": "offers: which set",
        "seq": "offers: head whose content it is part of",
        "page": "offers: which page",
        "data": "offers: the bytes to serve",
    }

    audience: str
    kind: str
    seq: int
    page: int
    data: bytes


class MirrorRow(Row, frozen=True, kw_only=True):
    """The newest verified head of a peer's set; `state` is complete, incomplete or forked.

    Only a complete set before `not_after` is shown. `evidence` is the head that contradicts `head`.
    """

    table = "mirror"
    key = ("origin", "audience", "kind")
    named_by = "origin"
    purpose: ClassVar = {
        "origin": "offers: whose set",
        "audience": "offers: shown to whom",
        "kind": "offers: which set",
        "seq": "security: refuse an older head",
        "head": "security: evidence, and the roots to compare with",
        "head_hash": "security: refuse a head that does not follow",
        "issued_at": "security: refuse a head issued earlier",
        "not_after": "offers: stop showing the set from then on",
        "state": "offers: show complete sets only",
        "entries": "operation: size of the set",
        "etag": "operation: ask for changes only",
        "evidence": "evidence: a second head with the same place in the chain",
    }

    origin: str
    audience: str
    kind: str
    seq: int
    head: str
    head_hash: str
    issued_at: int
    not_after: int
    state: str
    entries: int
    etag: str = ""
    evidence: str = ""


class MirrorPageRow(Row, frozen=True, kw_only=True):
    """One page of a peer's set as it came; all of a set are deleted with the first head that signs other entries."""

    table = "mirror_page"
    key = ("origin", "audience", "kind", "number")
    purpose: ClassVar = {
        "origin": "offers: whose set",
        "audience": "offers: shown to whom",
        "kind": "offers: which set",
        "number": "offers: which page",
        "data": "offers: what is shown and searched, and the salts that open its commitments",
    }

    origin: str
    audience: str
    kind: str
    number: int
    data: bytes

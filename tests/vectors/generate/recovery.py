"""Vectors of docs/protocol/49-recovery.md §3–§5: words, slots and bundles, with a cost that suits a test."""

from typing import Any, Final

from msgspec.structs import replace

from protocol.e2ee.archive import (
    MANIFEST,
    ItemName,
    Manifest,
    Part,
    digest_of,
    seal_item,
)
from protocol.e2ee.kept import Book, KeptBlock, KeptCode, KeptContact, KeptLine, KeptPerson, KeptShortlist
from protocol.e2ee.luggage import Luggage, pack
from protocol.e2ee.masterchange import MasterChange, StatedChange, state_change
from protocol.e2ee.places import KeptPlace
from protocol.e2ee.recovery import Bundle, Recovered, recovery_key_of, render_bundle
from protocol.e2ee.recovery_slots import locator_of, passphrase_slot, words_slot
from protocol.e2ee.recovery_words import render_words
from protocol.e2ee.vault import Cost, VaultKey
from protocol.encoding import b64, decode, encode, sha256, unb64
from protocol.fingerprints import WORDS
from protocol.needs import Need
from protocol.recoverylocator import locator_commitment
from protocol.signing import SigningKey

from .devices import Case, file

SECRET: Final = sha256(b"account secret")
REJOIN: Final = sha256(b"rejoin")
ENTROPY: Final = sha256(b"recovery words")
PASSPHRASE: Final = "otter plays seven drums before noon"
NOW: Final = 1_767_000_000
COST: Final = Cost(passes=1, memory_kib=8)
COMPARED: Final = b64(sha256(b"compared")).encode("ascii")
BLOCK: Final = b64(sha256(b"block")[:16]).encode("ascii")
ID: Final = b64(sha256(b"bundle")[:16])
KEY: Final = recovery_key_of(SECRET, ID)
RECOVERED: Final = Recovered(account_secret=b64(SECRET), entity="https://aurora.example", name="Ana")


def bundle(seq: int = 2, *, salt: bytes = b"salt") -> bytes:
    """Return a bundle with a slot for words and one for a passphrase."""
    slots = (
        words_slot(ENTROPY, KEY, slot=b64(sha256(b"slot 1")[:16]), now=NOW),
        passphrase_slot(
            PASSPHRASE, KEY, slot=b64(sha256(b"slot 2")[:16]), salt=sha256(b"a")[:16], now=NOW + 60, cost=COST
        ),
    )
    bare = Bundle(id=ID, seq=seq, salt=b64(sha256(salt)[:16]), slots=slots)
    return render_bundle(bare, RECOVERED, KEY)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "recovery/words.json": file(
            "49-recovery §3", "The 32 bytes of typed words; `result` is base64url.", list(_words())
        ),
        "recovery/master-changes.json": file(
            "49-recovery §10",
            "`input` are changes that lead to `leads_to`; `result` says of each whether the old key signed it.",
            list(_changes()),
        ),
        "recovery/locators.json": file(
            "49-recovery §11",
            "The locator of `words` (32 bytes) and what a node keeps of it; or of a `locator` what is kept.",
            list(_locators()),
        ),
        "recovery/luggage.json": file(
            "49-recovery §11", "`input` is a file that is opened with `passphrase`.", list(_luggage())
        ),
        "recovery/archive.json": file(
            "49-recovery §9",
            "`manifest` and `items` (by name) are opened with `account_secret`; `result` is the document of the part.",
            list(_archive()),
        ),
        "recovery/bundles.json": file(
            "49-recovery §4–§5",
            "`input` is opened with `words` (32 bytes, base64url) or `passphrase`; `result` is the content.",
            list(_bundles()),
        ),
    }


def _archive() -> list[Case]:
    name, salt = b64(sha256(b"item")[:16]), sha256(b"item salt")[:16]
    contact = KeptContact(
        thread=b64(sha256(b"thread")[:16]), name="Ben", entity="https://birch.example", master_key=b64(KEY), met_at=NOW
    )
    document = encode(Book(contacts=(contact,)))

    def stored(document: bytes) -> dict[str, Any]:
        item = seal_item(document, SECRET, name, salt=salt)
        part = Part(kind="book", digest=digest_of(document), items=(ItemName(name=name, hash=b64(sha256(item))),))
        bare = encode(Manifest(seq=1, bundle_seq=2, parts=(part,)))
        manifest = seal_item(bare, SECRET, MANIFEST, salt=sha256(b"manifest salt")[:16])
        return {"account_secret": b64(SECRET), "manifest": b64(manifest), "items": {name: b64(item)}}

    good = stored(document)
    item, manifest = unb64(good["items"][name]), unb64(good["manifest"])
    whole = encode(_book(contact))
    damaged: dict[str, object] = {"error": "malformed", "code": "damaged-archive"}
    other = seal_item(document, SECRET, name, salt=sha256(b"another salt")[:16])
    return [
        {"name": "an archive", **good, "result": decode(document, dict)},
        {"name": "a book with all that is kept", **stored(whole), "result": decode(whole, dict)},
        {"name": "a line of an unknown kind", **stored(whole.replace(b'"private"', b'"secret"')), "error": "malformed"},
        {
            "name": "a block without an id",
            **stored(whole.replace(b'"id":"' + BLOCK, b'"id":"')),
            "error": "malformed",
        },
        {"name": "a code that matched with no key", **stored(whole.replace(COMPARED, b"")), "error": "malformed"},
        {
            "name": "a contact whose key is cut short",
            **stored(document.replace(b64(KEY).encode(), b64(KEY).encode()[:-1])),
            "error": "malformed",
        },
        {"name": "a shortlist of six people", **stored(encode(_six(contact))), "error": "malformed"},
        {
            "name": "an open session without the key to ask by",
            **stored(whole.replace(b64(REJOIN).encode(), b"")),
            "error": "malformed",
        },
        {
            "name": "an open session in which one is neither",
            **stored(whole.replace(b'"role":"mentee"', b'"role":"guest"')),
            "error": "malformed",
        },
        {"name": "another account", **good, "account_secret": b64(KEY), **damaged},
        {"name": "an item is missing", **good, "items": {}, **damaged},
        {"name": "the same document sealed at another time", **good, "items": {name: b64(other)}, **damaged},
        {"name": "an item in place of the manifest", **good, "manifest": b64(item), **damaged},
        {"name": "a manifest cut short", **good, "manifest": b64(manifest[:-1]), **damaged},
        {"name": "an item with one byte changed", **good, "items": {name: b64(item[:-1] + b"x")}, **damaged},
    ]


def _book(contact: KeptContact) -> Book:
    person = KeptPerson(
        entity=contact.entity,
        org="Birch",
        fit="exact",
        kind="been-through",
        band="senior",
        reasons=("exact-topic",),
        gap="few-times",
        line="I have been there.",
        slots=(NOW + 86_400,),
    )
    need = Need(topics=("mm:first-board-presentation",), kind="do", languages=("en",), format="call", length=30)
    return Book(
        contacts=(contact,),
        lines=(KeptLine(thread=contact.thread, kind="private", text="Only mine.", at=NOW, id=BLOCK.decode()),),
        blocks=(KeptBlock(id=BLOCK.decode(), at=NOW, name="Cleo", master_key=b64(SECRET), former=(b64(ENTROPY),)),),
        unblocked=(b64(sha256(b"forgotten")[:16]),),
        codes=(KeptCode(key=COMPARED.decode(), at=NOW),),
        shortlists=(KeptShortlist(id=b64(sha256(b"ask")[:16]), at=NOW, need=need, people=(person,)),),
        places=(_place(),),
    )


def _place() -> KeptPlace:
    return KeptPlace(
        thread=b64(sha256(b"open thread")[:16]),
        role="mentee",
        consumer="https://aurora.example",
        provider="https://birch.example",
        audience=b64(sha256(b"audience")),
        context=b64(sha256(b"context")),
        rejoin=b64(REJOIN),
        peer_identity=b64(sha256(b"identity")),
        agreement="{}",
        attested="device",
        format="call",
        length=30,
        slot=NOW,
        ends_at=NOW + 1800,
        name="Ben",
    )


def _six(contact: KeptContact) -> Book:
    book = _book(contact)
    (shortlist,) = book.shortlists
    return replace(book, shortlists=(replace(shortlist, people=shortlist.people * 6),))


def _changes() -> list[Case]:
    keys = [SigningKey(sha256(f"master {number}".encode())) for number in range(3)]

    def change(old: int, new: int, *, by_old: bool = True, signer: int | None = None) -> StatedChange:
        said = MasterChange(created_at=NOW, new_key=keys[new].public.text, old_key=keys[old].public.text)
        return state_change(said, keys[new if signer is None else signer], keys[old] if by_old else None)

    def case(name: str, *stated: StatedChange, to: int, **outcome: object) -> Case:
        shown = [decode(encode(one), dict) for one in stated]
        return {"name": name, "input": shown, "leads_to": keys[to].public.text, **outcome}

    both, later = change(0, 1), change(1, 2)
    wrong: dict[str, object] = {"error": "unverified"}
    swapped = replace(both, by_old=change(0, 2).by_old)
    return [
        case("signed by both keys", both, to=1, result=[True]),
        case("signed by the new key alone", change(0, 1, by_old=False), to=1, result=[False]),
        case("two that follow each other", both, later, to=2, result=[True, True]),
        case("signed by another key than the new one", change(0, 1, signer=2), to=1, **wrong),
        case("the old key signed another change", swapped, to=1, **wrong),
        case("the new key in place of the old one", replace(both, by_old=both.by_new), to=1, **wrong),
        case("they lead to another key", both, to=2, **wrong),
        case("in the wrong order", later, both, to=1, **wrong),
        case("a key that follows itself", change(0, 0), to=0, error="malformed"),
    ]


def _locators() -> list[Case]:
    locator = locator_of(ENTROPY)
    kept = locator_commitment(locator)
    return [
        {"name": "words", "words": b64(ENTROPY), "result": {"locator": locator, "kept": kept}},
        {"name": "a locator of 31 bytes", "locator": b64(ENTROPY[:-1]), "error": "malformed"},
        {"name": "a locator with padding", "locator": locator + "=", "error": "malformed"},
    ]


def _luggage() -> list[Case]:
    luggage = Luggage(account_secret=b64(SECRET), name="Ana", book=Book())
    key = VaultKey.from_passphrase(PASSPHRASE, salt=sha256(b"luggage")[:16], cost=COST)
    good = pack(luggage, key, nonce=sha256(b"luggage nonce")[:24])
    other = key.seal(b"{}", nonce=sha256(b"another nonce")[:24])

    def case(name: str, data: bytes, passphrase: str = PASSPHRASE, **outcome: object) -> Case:
        return {"name": name, "input": b64(data), "passphrase": passphrase, **outcome}

    damaged: dict[str, Any] = {"error": "malformed", "code": "damaged-vault"}
    return [
        case("a file", good, result=decode(encode(luggage), dict)),
        case("another passphrase", good, "another passphrase", error="unverified", code="wrong-key"),
        case("cut short", good[:-1], **damaged),
        case("something else in the container", other, error="malformed"),
    ]


def _words() -> list[Case]:
    words = render_words(ENTROPY)
    other = next(word for word in WORDS if word != words[4])
    swapped = (words[1], words[0], *words[2:])

    def good(name: str, text: str) -> Case:
        return {"name": name, "input": text, "result": b64(ENTROPY)}

    def bad(name: str, text: str) -> Case:
        return {"name": name, "input": text, "error": "malformed", "code": "recovery-words"}

    return [
        good("words as they were shown", " ".join(words)),
        good("numbered, in capitals, on lines", "\n".join(f"{n}. {word.upper()}" for n, word in enumerate(words, 1))),
        good("four letters of each", " ".join(word[:4] for word in words)),
        bad("one word is missing", " ".join(words[:-1])),
        bad("one word too many", " ".join((*words, words[0]))),
        bad("one word is another one of the list", " ".join((*words[:4], other, *words[5:]))),
        bad("two words have changed places", " ".join(swapped)),
        bad("a word that is not on the list", " ".join((*words[:4], "zzzz", *words[5:]))),
        bad("three letters are not enough", " ".join((words[0][:3], *words[1:]))),
        bad("a word of the list with other letters at its end", " ".join((f"{words[0]}x", *words[1:]))),
        bad("nothing", ""),
    ]


def _bundles() -> list[Case]:
    data = bundle()
    parsed = decode(data, Bundle)
    first, second = parsed.slots
    moved = encode(replace(parsed, slots=(replace(first, id=second.id), replace(second, id=first.id))))
    later = decode(bundle(3, salt=b"later"), Bundle)
    removed = render_bundle(replace(parsed, seq=3, salt=later.salt, slots=(second,)), RECOVERED, KEY)
    renewed = words_slot(sha256(b"newer words"), KEY, slot=b64(sha256(b"slot 3")[:16]), now=NOW + 120)
    replaced = render_bundle(replace(parsed, seq=3, salt=later.salt, slots=(second, renewed)), RECOVERED, KEY)
    device = data.replace(b'"type":"passphrase"', b'"type":"device"')
    result = decode(encode(RECOVERED), dict)

    def by_words(name: str, data: bytes, words: bytes = ENTROPY, **outcome: object) -> Case:
        return {"name": name, "input": b64(data), "words": b64(words), **outcome}

    def by_passphrase(name: str, data: bytes, passphrase: str = PASSPHRASE, **outcome: object) -> Case:
        return {"name": name, "input": b64(data), "passphrase": passphrase, **outcome}

    wrong: dict[str, Any] = {"error": "unverified", "code": "wrong-key"}
    damaged: dict[str, Any] = {"error": "malformed", "code": "damaged-bundle"}
    return [
        by_words("by words", data, result=result),
        by_passphrase("by passphrase", data, result=result),
        by_words("other words", data, sha256(b"other"), **wrong),
        by_passphrase("another passphrase", data, PASSPHRASE + "s", **wrong),
        by_words("slots under each other's ids", moved, **wrong),
        by_words("a slot was taken away", encode(replace(parsed, slots=(first,))), **damaged),
        by_words("slots in another order", encode(replace(parsed, slots=(second, first))), **damaged),
        by_words("the content of a later bundle", encode(replace(parsed, content=later.content)), **damaged),
        by_words("a lower number", encode(replace(parsed, seq=1)), **damaged),
        by_words("no slot for words", encode(replace(parsed, slots=(second,))), error="refused", code="no-slot"),
        by_passphrase("the slot for words was removed: by passphrase", removed, result=result),
        by_words("the slot for words was removed: by words", removed, error="refused", code="no-slot"),
        by_words("words that newer ones replaced", replaced, **wrong),
        by_words(
            "the removed slot put back", encode(replace(decode(removed, Bundle), slots=(first, second))), **damaged
        ),
        by_words("a slot of an unknown kind", device, **damaged),
        by_words("cut short", data[:-1], **damaged),
        by_words("not canonical", data.replace(b":", b": ", 1), **damaged),
    ]

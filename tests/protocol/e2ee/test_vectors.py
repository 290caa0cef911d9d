"""docs/protocol/42 to 48 and this program agree on their vectors."""

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from protocol import contexts
from protocol.bodies import Agreement, SealedBrief
from protocol.contexts import ThreadContext
from protocol.devices import open_device, open_identity, open_sealing_key, sealing_key_hash
from protocol.e2ee import shortcode
from protocol.e2ee.agreed import SentBrief, check_agreed, open_agreed
from protocol.e2ee.archive import digest_of, document_of, open_manifest
from protocol.e2ee.brief import open_brief
from protocol.e2ee.consent import consent_hash, open_consent
from protocol.e2ee.crypto import Change, CheckMember, Member, Own, Received
from protocol.e2ee.frames import BUCKETS, Frame, Unknown, decode_frame, encode_frame
from protocol.e2ee.kept import Book
from protocol.e2ee.keys import AccountSecret, DeviceKey, DeviceSecret, PersonSealingKey, ReplyKey
from protocol.e2ee.linking import Account, LinkKey, NewDevice, NewSide, OldSide, parse_code
from protocol.e2ee.luggage import unpack
from protocol.e2ee.masterchange import StatedChange, open_changes
from protocol.e2ee.mls.engine import MlsCrypto, Session, newcomer_of
from protocol.e2ee.mls.state import mark_of
from protocol.e2ee.mls.suites import X_WING
from protocol.e2ee.recovery import open_bundle, parse_bundle
from protocol.e2ee.recovery_slots import key_by_passphrase, key_by_words, locator_of
from protocol.e2ee.recovery_words import parse_words
from protocol.e2ee.rejoin import open_rejoin
from protocol.e2ee.safety import safety_number
from protocol.e2ee.siblings import open_word
from protocol.e2ee.vault import VaultKey, unlock
from protocol.encoding import b64, decode, encode, label, length_prefixed, unb64
from protocol.errors import MalformedError, MeshError, RefusedError, UnverifiedError
from protocol.recoverylocator import locator_commitment
from protocol.signing import VerifyKey
from protocol.text import check_displayable
from tests.together import together

VECTORS = Path(__file__).parents[2] / "vectors"
TOPICS = ("devices", "frames", "brief", "session", "vault", "recovery", "shortcode")
KINDS: dict[str, type[MeshError]] = {
    "malformed": MalformedError,
    "unverified": UnverifiedError,
    "refused": RefusedError,
}
ENGINE = MlsCrypto()
SHORT_CODE = json.loads((VECTORS / "shortcode" / "runs.json").read_bytes())

Case = dict[str, Any]


def generator(topic: str) -> ModuleType:
    return importlib.import_module(f"tests.vectors.generate.{topic}")


def every_case() -> list[Any]:
    paths = sorted(path for topic in TOPICS for path in (VECTORS / topic).glob("*.json"))
    return [
        pytest.param(f"{path.parent.name}/{path.stem}", case, id=f"{path.parent.name}/{path.stem}: {case['name']}")
        for path in paths
        for case in json.loads(path.read_bytes())["cases"]
        if path.stem != "messages"
    ]


def plain(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def shared(name: str) -> Case:
    """Return the sealed parts that the cases of a file call by name."""
    found: Case = json.loads((VECTORS / f"{name}.json").read_bytes())["sealed"]
    return found


def canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


# each reader returns what a case calls its result


def derived(case: Case) -> object:
    account = AccountSecret(unb64(case["account_secret"]))
    device, audience = DeviceSecret(unb64(case["device_secret"])), case["audience"]
    return {
        "master_key": account.master().public.text,
        "identity_key": account.identity(audience).public.text,
        "label": account.label(audience),
        "device_key": device.key(audience).public.text,
        "device_id": device.device_id(audience),
    }


def identity(case: Case) -> object:
    return plain(open_identity(case["input"], VerifyKey.parse(case["key"]), audience=case["audience"]))


def certificate(case: Case) -> object:
    key = VerifyKey.parse(case["key"])
    return plain(open_device(case["input"], key, audience=case["audience"], now=case["now"]))


def sealing_key(case: Case) -> object:
    return plain(open_sealing_key(case["input"], VerifyKey.parse(case["key"]), now=case["now"]))


def frame(case: Case) -> object:
    text = case["input"].encode()
    fits = next(size for size in BUCKETS if len(text) + 4 <= size)
    size = case.get("padded", fits)
    found = decode_frame(len(text).to_bytes(4, "big") + text + bytes(size - 4 - len(text)))
    assert encode_frame(found)[4:].rstrip(b"\x00") == text
    return json.loads(text)["content"]


def newer(case: Case) -> object:
    text = case["input"].encode()
    content = decode_frame(len(text).to_bytes(4, "big") + text + bytes(1_024 - 4 - len(text))).content
    assert isinstance(content, Unknown)
    return content.kind


def padding(case: Case) -> object:
    start, end = bytes.fromhex(case["start"]), bytes.fromhex(case["end"])
    found: Frame = decode_frame(start + bytes(case["size"] - len(start) - len(end)) + end)
    return encode(found).decode()


def text(case: Case) -> object:
    check_displayable(case["input"], "text", lines=not case["line"])
    return case["input"]


def context(case: Case) -> object:
    """Build a context from the specification's own words, then compare it with the program's."""
    given = case["context"]
    where = ThreadContext(**given)
    key = PersonSealingKey(generator("brief").MENTOR.sealing().seed).public
    ref, audience = case["ref"], case["audience"]
    made = {
        "request": lambda: contexts.request(where, key),
        "quote": lambda: contexts.quote(where, key),
        "choice": lambda: contexts.choice(where, key),
        "brief_wrap": lambda: contexts.brief_wrap(where, ref=ref, audience=audience, key=key),
        "brief_box": lambda: contexts.brief_box(where, ref=ref, audience=audience),
        "agreed_private": lambda: contexts.agreed_private(where, ref=ref, audience=audience, reply_key=key),
    }[case["purpose"]]()
    parts = [unb64(given["thread"], size=16), given["consumer"].encode(), given["provider"].encode()]
    person = [unb64(ref, size=16), unb64(audience, size=32)]
    purpose = case["purpose"]
    parts += person if purpose in {"brief_wrap", "brief_box", "agreed_private"} else []
    parts += [] if purpose == "brief_box" else [unb64(case["key"], size=32)]
    assert made == label(f"seal/{purpose.replace('_', '-')}") + length_prefixed(*parts)
    return made.hex()


def consent(case: Case) -> object:
    found = open_consent(case["input"], tuple(VerifyKey.parse(key) for key in case["keys"]))
    assert consent_hash(case["input"]) == case["hash"]
    return plain(found)


def brief(case: Case) -> object:
    sealed = decode(canonical(shared("brief/brief")[case["input"]]), SealedBrief)
    found = open_brief(
        sealed,
        PersonSealingKey(unb64(case["seed"])),
        context=ThreadContext(**case["context"]),
        ref=case["ref"],
        audience=case["audience"],
        now=case["now"],
    ).brief
    return {
        "words": plain(found.words),
        "reply_key": sealing_key_hash(found.reply_key),
        "key_packages": [b64(one) for one in found.key_packages],
    }


def agreed(case: Case) -> object:
    sent = msgspec.convert(case["sent"], SentBrief)
    key = ReplyKey(unb64(case["seed"]))
    found = open_agreed(shared("brief/agreed")[case["input"]], key, sent.context, ref=sent.ref, audience=sent.audience)
    mentor = check_agreed(found.proof, msgspec.convert(case["agreement"], Agreement), sent, now=case["now"])
    return {
        "label": mentor.label,
        "master_key": mentor.master_key.text,
        "devices": [device.text for device in mentor.devices],
        "welcome": b64(found.welcome),
    }


def session_context(case: Case) -> object:
    return contexts.session(thread=case["thread"], accepted=case["accepted"], consent=case["consent"]).hex()


def allowing(*devices: str) -> CheckMember:
    def check(member: Member) -> None:
        if member.device not in devices:
            raise UnverifiedError("not checked", code="unknown-member")

    return check


def joined(case: Case) -> Session:
    own = Own(device=DeviceKey(unb64(case["device"])), secret=unb64(case["secret"]))
    context, check = bytes.fromhex(case["context"]), allowing(*case["allowed"])
    return ENGINE.join(own, unb64(case["input"]), context=context, check=check, now=case["now"])


def welcome(case: Case) -> object:
    newcomer = newcomer_of(Own(device=DeviceKey(unb64(case["device"])), secret=unb64(case["secret"])))
    assert (newcomer.init, newcomer.private) == (unb64(case["init"]), unb64(case["leaf"]))
    assert X_WING.kem.public(newcomer.init) == newcomer.package.init_key
    assert X_WING.kem.public(newcomer.private) == newcomer.package.leaf.encryption_key
    return [member.device for member in ENGINE.members(joined(case))]


def safety(case: Case) -> object:
    return safety_number(VerifyKey.parse(case["one"]), VerifyKey.parse(case["other"]))


def linking(case: Case) -> object:
    account = Account(entity=case["entity"], member=case["member"])
    keys = LinkKey(unb64(case["seed_new"])), LinkKey(unb64(case["seed_old"]))
    new = NewSide(account, case["digits"], run=case["run"], key=keys[0], entropy=unb64(case["entropy_new"]))
    typed = parse_code(str(case.get("typed") or case["digits"]))
    old = OldSide(account, typed, new.opening, key=keys[1], entropy=unb64(case["entropy_old"]))
    reply = encode({**json.loads(old.reply), **case.get("changed", {})})
    device = NewDevice(device_id=b64(bytes(16)), device_key=b64(bytes(32)), sign_in=b64(bytes(32)))
    assert old.check(new.prove(reply, device)) == device
    return {"opening": new.opening.decode(), "reply": reply.decode()}


def short_code(case: Case) -> object:
    """Play what one device hears; `both`: it had begun a run of its own before."""
    device, nonce = case["device"], unb64(case["nonce"])
    secret, masters = unb64(SHORT_CODE["epoch_secret"]), msgspec.convert(SHORT_CODE["masters"], shortcode.Masters)
    run: shortcode.Run | None = None
    sent: list[shortcode.Step] = []
    if case["role"] != "answered":
        run, first = shortcode.begin(case["run"], device=device, nonce=nonce, epoch=3, epoch_secret=secret)
        sent += [first] if case["role"] == "began" else []
    for step in case["steps"]:
        own = shortcode.Own(device=device, nonce=nonce, epoch_secret=secret)
        run, out = shortcode.advance(run, msgspec.convert(step["frame"], shortcode.Step), own, sender=step["from"])
        sent += [out] if out else []
    assert run is not None
    told = [msgspec.to_builtins(one) for one in sent]
    if run.state is not shortcode.State.DONE:
        with pytest.raises(RefusedError):
            shortcode.code_of(run, masters)
        return {"sent": told}
    code = shortcode.code_of(run, masters)
    return {"sent": told, "pictures": list(code.pictures), "numbers": list(code.numbers)}


def sibling(case: Case) -> object:
    key, identity = PersonSealingKey(unb64(case["seed"])), VerifyKey.parse(case["key"])
    heard = open_word(unb64(case["input"]), key, identity, audience=case["audience"], now=case["now"])
    return {"device": heard.device.text, "word": encode(heard.word).decode()}


def container(case: Case) -> object:
    data = unb64(case["input"])
    if "key" in case:
        return b64(VaultKey(unb64(case["key"]), name="any").open(data))
    return b64(unlock(data, case["passphrase"])[1])


def recovery_words(case: Case) -> object:
    return b64(parse_words(case["input"]))


def recovery_bundle(case: Case) -> object:
    bundle = parse_bundle(unb64(case["input"]))
    if "words" in case:
        return plain(open_bundle(bundle, key_by_words(bundle.slots, unb64(case["words"]))))
    return plain(open_bundle(bundle, key_by_passphrase(bundle.slots, case["passphrase"])))


def locators(case: Case) -> object:
    locator = case["locator"] if "locator" in case else locator_of(unb64(case["words"]))
    return {"locator": locator, "kept": locator_commitment(locator)}


def luggage(case: Case) -> object:
    return plain(unpack(unb64(case["input"]), case["passphrase"]))


def master_changes(case: Case) -> object:
    stated = tuple(decode(canonical(one), StatedChange) for one in case["input"])
    return [one.by_old for one in open_changes(stated, leads_to=case["leads_to"])]


def archive(case: Case) -> object:
    secret = unb64(case["account_secret"])
    (part,) = open_manifest(unb64(case["manifest"]), secret).parts
    document = document_of(part, {name: unb64(item) for name, item in case["items"].items()}, secret)
    assert digest_of(document) == part.digest
    decode(document, Book)
    return json.loads(document)


def mark(case: Case) -> object:
    found = ENGINE.marked(bytes.fromhex(case["input"]))
    if "authenticator" in case:
        assert found is not None
        assert found.value == mark_of(bytes.fromhex(case["authenticator"]))
    return found.value.hex() if found else ""


def rejoin(case: Case) -> object:
    word = open_rejoin(bytes.fromhex(case["input"]), bytes.fromhex(case["key"]), thread=case["thread"])
    return encode(word).decode()


READERS = {
    "devices/derived": derived,
    "devices/identity": identity,
    "devices/certificates": certificate,
    "devices/sealing-keys": sealing_key,
    "devices/linking": linking,
    "devices/safety": safety,
    "devices/siblings": sibling,
    "frames/content": frame,
    "frames/newer": newer,
    "frames/padding": padding,
    "frames/text": text,
    "brief/contexts": context,
    "brief/consent": consent,
    "brief/brief": brief,
    "brief/agreed": agreed,
    "session/context": session_context,
    "session/mark": mark,
    "session/rejoin": rejoin,
    "session/welcome": welcome,
    "shortcode/runs": short_code,
    "vault/containers": container,
    "recovery/archive": archive,
    "recovery/locators": locators,
    "recovery/luggage": luggage,
    "recovery/master-changes": master_changes,
    "recovery/words": recovery_words,
    "recovery/bundles": recovery_bundle,
}


@together(every_case(), by=": ")
def test_a_case_ends_as_the_vectors_say(name: str, case: Case) -> None:
    if "error" not in case:
        assert READERS[name](case) == case["result"]
        return
    with pytest.raises(KINDS[case["error"]]) as caught:
        READERS[name](case)
    if "code" in case:
        assert caught.value.code == case["code"]


def test_the_messages_of_a_session_end_as_the_vectors_say_in_their_order() -> None:
    first = json.loads((VECTORS / "session/welcome.json").read_bytes())["cases"][0]
    state, check = joined(first), allowing(*first["allowed"])
    for case in json.loads((VECTORS / "session/messages.json").read_bytes())["cases"]:
        before = ENGINE.dump(state)
        if "error" in case:
            with pytest.raises(KINDS[case["error"]]) as caught:
                ENGINE.receive(state, unb64(case["input"]), check=check, now=case["now"])
            assert caught.value.code == case["code"], case["name"]
            assert ENGINE.dump(state) == before
            continue
        state, event = ENGINE.receive(state, unb64(case["input"]), check=check, now=case["now"])
        if isinstance(case["result"], int):
            assert isinstance(event, Change)
            assert event.epoch == case["result"]
        else:
            assert isinstance(event, Received)
            assert event.frame == unb64(case["result"]), case["name"]


@pytest.mark.parametrize("topic", TOPICS)
def test_there_are_at_least_as_many_refusals_as_successes(topic: str) -> None:
    for path in (VECTORS / topic).glob("*.json"):
        cases = json.loads(path.read_bytes())["cases"]
        assert sum("error" in case for case in cases) * 2 >= len(cases), path.name

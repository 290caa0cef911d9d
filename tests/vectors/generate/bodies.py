"""Vectors of docs/protocol/30-messages.md §5: bodies of messages, and what is sealed inside them."""

import re
from typing import Final

from tests.vectors.signed import digest

from .devices import Case, file
from .messages import NOW, THREAD

#: Stand-ins for sealed parts, whose content no reader of these vectors opens.
STAND_INS: Final = {
    "<sealed>": 1516,
    "<sealed too short>": 1515,
    "<key>": 1622,
    "<wrap>": 1558,
    "<box>": 14376 * 4 // 3,
}


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "messages/bodies.json": file(
            "30-messages §5",
            "`input` is the body of a message with `verb`, or the plaintext `part`. A name in angle brackets "
            "stands for so many A as `stands_for` says. A `result` of true says that it is accepted.",
            [*_bodies(), *_parts()],
            stands_for=STAND_INS,
        )
    }


def filled(text: str) -> str:
    """Return `text` with its stand-ins written out."""
    return re.sub("|".join(map(re.escape, STAND_INS)), lambda found: "A" * STAND_INS[found[0]], text)


def _bodies() -> list[Case]:
    wrapped = f'{{"key":"{digest(b"key")}","sealed":"<wrap>"}}'
    brief = f'{{"box":"<box>","wrapped":[{wrapped}]}}'
    accepted = {
        "request": ['{"request":"<sealed>"}'],
        "offer": ['{"quote":"<sealed>"}'],
        "counter": ['{"quote":"<sealed>"}'],
        "redirect": ['{"quote":"<sealed>"}'],
        "refuse": [
            f'{{"reason":"{word}"}}' for word in ("no-capacity", "unavailable", "policy", "quote-expired", "too-late")
        ],
        "accept": [
            f'{{"brief":{brief},"choice":"<sealed>"}}',
            f'{{"brief":{{"box":"<box>","wrapped":[{wrapped},{wrapped}]}},"choice":"<sealed>"}}',
        ],
        "agree": ['{"agreement":"{}","private":"<sealed>"}', '{"agreement":"{}"}'],
        "verify": ['{"agreement":"{}"}'],
        "finalize": [f'{{"agreement_hash":"{digest(b"agreement")}"}}'],
        "decline": [f'{{"reason":"{word}"}}' for word in ("not-my-topic", "no-time", "conflict", "other")],
        "expire": [f'{{"deadline":{NOW}}}'],
        "cancel": [
            f'{{"reason":"{word}"}}'
            for word in ("not-needed", "cannot-make-it", "conflict", "unavailable", "fall-through")
        ],
    }
    refused = [
        ("request", "a request in the open", '{"request":{}}'),
        ("request", "a sealed part that is too short", '{"request":"<sealed too short>"}'),
        ("request", "padding behind a sealed part", '{"request":"<sealed>="}'),
        ("request", "a line feed behind a sealed part", '{"request":"<sealed>\\n"}'),
        ("request", "nothing sealed", "{}"),
        ("offer", "the body of a request", '{"request":"<sealed>"}'),
        ("counter", "slots in the open", f'{{"quote":"<sealed>","slots":[{NOW}]}}'),
        ("refuse", "another word", '{"reason":"blocked"}'),
        ("refuse", "a sentence", '{"reason":"no-capacity","text":"sorry"}'),
        ("accept", "no brief", '{"choice":"<sealed>"}'),
        ("accept", "no choice", f'{{"brief":{brief}}}'),
        ("accept", "a brief for nobody", '{"brief":{"box":"<box>","wrapped":[]},"choice":"<sealed>"}'),
        (
            "accept",
            "a brief for three devices",
            f'{{"brief":{{"box":"<box>","wrapped":[{wrapped},{wrapped},{wrapped}]}},"choice":"<sealed>"}}',
        ),
        ("accept", "a wrap of another size", f'{{"brief":{brief.replace("<wrap>", "<wrap>A")},"choice":"<sealed>"}}'),
        ("accept", "a box of another size", f'{{"brief":{brief.replace("<box>", "<box>A")},"choice":"<sealed>"}}'),
        ("accept", "a box that is too short", f'{{"brief":{brief.replace("<box>", "<sealed>")},"choice":"<sealed>"}}'),
        ("accept", "a slot in the open", f'{{"brief":{brief},"choice":"<sealed>","slot":{NOW}}}'),
        ("agree", "no agreement", '{"private":"<sealed>"}'),
        ("agree", "no private part, written out", '{"agreement":"{}","private":null}'),
        ("agree", "an agreement that is no text", '{"agreement":{}}'),
        ("verify", "a private part", '{"agreement":"{}","private":"<sealed>"}'),
        ("finalize", "the agreement itself", '{"agreement":"{}"}'),
        ("finalize", "a hash in hex", f'{{"agreement_hash":"{"0" * 64}"}}'),
        ("decline", "a word of a refusal", '{"reason":"no-capacity"}'),
        ("decline", "words of the mentor's own", '{"reason":"other","text":"sorry"}'),
        ("expire", "no deadline", "{}"),
        ("expire", "a deadline before 1970", '{"deadline":-1}'),
        ("cancel", "a word of a decline", '{"reason":"no-time"}'),
        ("cancel", "no reason", "{}"),
    ]
    return [
        *(
            {"name": f"{verb} {number + 1}", "verb": verb, "input": text, "result": True}
            for verb, texts in accepted.items()
            for number, text in enumerate(texts)
        ),
        *(
            {"name": f"{verb}: {name}", "verb": verb, "input": text, "error": "malformed"}
            for verb, name, text in refused
        ),
    ]


def _parts() -> list[Case]:
    need = '{"format":"call","kind":"do","languages":["en"],"length":30,"topics":["mm:first-board-presentation"]}'
    target = f'{{"id":"{THREAD}","type":"offer"}}'
    request = f'{{"need":{need},"reply_key":"<key>","target":{target}}}'
    candidate = (
        f'{{"band":"any","fit":"exact","gap":"","keys":["<key>"],"kind":"do","reasons":["does-it","exact-topic"],"ref":"{THREAD}",'
        f'"slots":[{NOW},{NOW + 1800}]}}'
    )
    org = '{"countries":["DE"],"display_name":"Cobalt Works","kind":"company","sector":"C","size_band":"50-250"}'
    quote = f'{{"candidates":[{candidate}],"org":{org},"valid_until":{NOW}}}'
    choice = f'{{"format":"call","length":30,"ref":"{THREAD}","slots":[{NOW}]}}'
    accepted = [
        ("Request", "a request for an offer", request),
        ("Request", "a request at a contact", request.replace('"offer"', '"contact"')),
        ("Quote", "one candidate", quote),
        ("Quote", "three candidates", quote.replace(candidate, ",".join([candidate] * 3))),
        (
            "Quote",
            "a candidate who shows more",
            quote.replace('"band"', '"approach":["listens-first"],"band"')
            .replace('"fit"', '"experience":["teaches-it"],"fit"')
            .replace('"kind":"do","reasons"', '"kind":"do","known_as":"Cem","line":"Ask me anything.","reasons"'),
        ),
        ("Choice", "a slot", choice),
        ("Choice", "a text session", f'{{"format":"text","length":30,"ref":"{THREAD}"}}'),
    ]
    refused = [
        ("Request", "a key of another size", request.replace("<key>", "<key>A")),
        (
            "Request",
            "a line feed in place of the key's last letter",
            request.replace("<key>", "<sealed>" + "A" * 105 + "\\n"),
        ),
        ("Request", "a target of another type", request.replace('"offer"', '"person"')),
        ("Request", "no target", f'{{"need":{need},"reply_key":"<key>"}}'),
        ("Request", "an unknown field", request.replace('"need"', '"name":"Ada","need"')),
        ("Quote", "no candidate", quote.replace(candidate, "")),
        ("Quote", "four candidates", quote.replace(candidate, ",".join([candidate] * 4))),
        ("Quote", "a candidate without a key", quote.replace('"keys":["<key>"]', '"keys":[]')),
        ("Quote", "a candidate with three keys", quote.replace('"<key>"', '"<key>","<key>","<key>"')),
        ("Quote", "six slots", quote.replace(f"[{NOW},{NOW + 1800}]", str([NOW] * 6).replace(" ", ""))),
        ("Quote", "three reasons", quote.replace('"does-it"', '"does-it","knows-it"')),
        ("Quote", "a line of 141 characters", quote.replace('"reasons"', f'"line":"{"a" * 141}","reasons"')),
        ("Quote", "a label", quote.replace('"reasons"', f'"label":"{THREAD}","reasons"')),
        ("Choice", "six slots", choice.replace(f"[{NOW}]", str([NOW] * 6).replace(" ", ""))),
        ("Choice", "an empty list of slots written out", choice.replace(f"[{NOW}]", "[]")),
        ("Choice", "an unknown length", choice.replace("30", "25")),
        ("Choice", "the brief", choice.replace('"format"', '"brief":"","format"')),
    ]
    return [
        *({"name": f"{part}: {name}", "part": part, "input": text, "result": True} for part, name, text in accepted),
        *(
            {"name": f"{part}: {name}", "part": part, "input": text, "error": "malformed"}
            for part, name, text in refused
        ),
    ]

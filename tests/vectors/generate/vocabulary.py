"""Vectors of docs/protocol/10-vocabulary.md: topics, needs, concept lines and how topics answer each other.

Inputs and results are written by hand from the specification, not taken from the program.
"""

import json
from typing import Any, Final

Case = dict[str, Any]

_BODY: Final = "`input` is a body as text, accepted in its canonical bytes only; `result` has the defaults filled in."
_NEED: Final[dict[str, Any]] = {
    "format": "call",
    "kind": "been-through",
    "languages": ["en", "de"],
    "length": 30,
    "topics": ["mm:first-board-presentation"],
    "windows": [{"end": 1767006000, "start": 1766998800}],
}
_NEED_DEFAULTS: Final[dict[str, Any]] = {
    "windows": [],
    "band": "any",
    "sector": "any",
    "function": "any",
    "experience": [],
    "approach": [],
    "reverse": False,
}


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "vocabulary/topics.json": _file(
            "10-vocabulary §1–§3",
            _BODY,
            _topics(),
        ),
        "vocabulary/codes.json": _file(
            "10-vocabulary §2–§9",
            "`input` is one value of the named type as JSON; `result` is the same value.",
            _codes(),
        ),
        "vocabulary/needs.json": _file(
            "10-vocabulary §8",
            _BODY,
            _needs(),
        ),
        "vocabulary/concepts.json": _file(
            "10-vocabulary §10",
            "`input` is a file of concept lines. One bad line refuses the file; the error names `line` and `field`.",
            _concepts(),
        ),
        "vocabulary/fits.json": _file(
            "10-vocabulary §11",
            "`graph` gives the broader concepts of each; names beginning with G are groups. `fit` is how an offer or "
            "profile of `offered` answers a need for `wanted`, null when not at all.",
            _fits(),
            graph=_GRAPH,
        ),
    }


def _file(spec: str, comment: str, cases: list[Case], **more: object) -> bytes:
    content = {"spec": spec, "comment": comment, **more, "cases": cases}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _accept(name: str, value: dict[str, Any], defaults: dict[str, Any]) -> Case:
    return {"name": name, "input": _canonical(value), "result": {**defaults, **value}}


def _refuse(name: str, text: str) -> Case:
    return {"name": name, "input": text, "error": "malformed"}


def _topics() -> list[Case]:
    leaf = {"level": "leaf"}
    situation = {"id": "mm:first-board-presentation", "kind": "been-through"}
    return [
        _accept("a situation that somebody has lived through", situation, leaf),
        _accept("a concept of ESCO", {"id": "esco:skill/0005c151-5b5a-4a66-8aac-60e734beb1ab", "kind": "do"}, leaf),
        _accept("a technology of O*NET", {"id": "onet:tech/100_plus_hatch_pattern_library", "kind": "know"}, leaf),
        _accept("a concept of a consortium", {"id": "ext:harbour:crane-safety", "kind": "know"}, leaf),
        _accept("a whole group", {"id": "mm:group-leading-a-team", "kind": "do", "level": "group"}, leaf),
        _accept("a whole domain", {"id": "mm:domain-leadership", "kind": "do", "level": "domain"}, leaf),
        _accept("an id of 200 characters after the scheme", {"id": "ext:" + "x" * 200, "kind": "do"}, leaf),
        _refuse("an id of 201 characters after the scheme", _canonical({"id": "ext:" + "x" * 201, "kind": "do"})),
        _refuse("an unknown scheme", _canonical({"id": "acme:crane-safety", "kind": "do"})),
        _refuse("a label in place of an id", _canonical({"id": "First presentation to the board", "kind": "do"})),
        _refuse("a scheme in capitals", _canonical({"id": "MM:first-board-presentation", "kind": "do"})),
        _refuse("a scheme without a name", _canonical({"id": "mm:", "kind": "do"})),
        _refuse("a space in an id", _canonical({"id": "mm:first board", "kind": "do"})),
        _refuse("a letter beyond ASCII in an id", _canonical({"id": "mm:größe", "kind": "do"})),
        _refuse("a line feed after an id", _canonical({"id": "mm:x\n", "kind": "do"})),
        _refuse("an unknown kind", _canonical({**situation, "kind": "teach"})),
        _refuse("an unknown level", _canonical({**situation, "level": "node"})),
        _refuse("no kind", _canonical({"id": "mm:first-board-presentation"})),
        _refuse("a field that is not specified", _canonical({**situation, "label": "First board presentation"})),
        _refuse("the default level written out", _canonical({**situation, "level": "leaf"})),
        _refuse("keys out of order", '{"kind":"been-through","id":"mm:first-board-presentation"}'),
        _refuse("a space between fields", '{"id":"mm:first-board-presentation", "kind":"been-through"}'),
        _refuse("a key twice", '{"id":"mm:x","id":"mm:first-board-presentation","kind":"been-through"}'),
    ]


#: Every code there is, and forms of the open types; then what is none.
_CODES: Final[dict[str, tuple[list[object], list[object]]]] = {
    "level": (["leaf", "group", "domain"], ["", "Leaf", "root", 0]),
    "kind": (["do", "know", "been-through"], ["", "Do", "been_through", None]),
    "band": (["any", "senior", "lead"], ["", "junior", "Senior", 2]),
    "format": (["call", "text", "in-person", "link"], ["", "video", "in person", []]),
    "length": ([15, 20, 30, 45, 60], [0, 10, 25, 50, 61, 90, "30", 30.5, True]),
    "wish": (["same", "different", "any"], ["", "other", "none", False]),
    "responsiveness": (["", "hours", "a-day", "two-days"], ["hour", "never", "two days", 1]),
    "fit": (["exact", "near", "general"], ["", "none", "far", 1000]),
    "approach": (
        [
            "asks-questions-first",
            "shares-own-story",
            "gives-frameworks",
            "challenges-assumptions",
            "rehearses-with-you",
            "reviews-your-draft",
            "listens-first",
            "direct-feedback",
        ],
        ["", "kind", "asks-questions", "shares-my-story", "frameworks", "listens", "feedback", "Direct-feedback"],
    ),
    "experience": (
        [
            "did-it-once",
            "did-it-often",
            "did-it-recently",
            "led-others-through-it",
            "built-it-from-scratch",
            "learned-the-hard-way",
            "saw-both-sides",
            "teaches-it",
        ],
        ["", "did-it", "did-it-never", "led-others", "failed", "20-years", "expert", "Teaches-it"],
    ),
    "reason": (
        [
            "exact-topic",
            "near-topic",
            "several-topics",
            "been-through-it",
            "does-it",
            "knows-it",
            "experience-fits",
            "approach-fits",
            "time-fits",
            "first-language",
            "answers-quickly",
            "sector-as-wished",
            "function-as-wished",
            "senior-enough",
            "speaks-your-language",
            "offers-this-format",
        ],
        [
            "",
            "same-age",
            "same-gender",
            "popular",
            "recommended",
            "top-rated",
            "general-topic",
            "topic-exact",
            "been-through",
            "do",
            "know",
            "close-by",
            "online-now",
            "answers-slowly",
            "sector",
            "function",
        ],
    ),
    "gap": (
        [
            "",
            "topic-may-be-covered",
            "topic-near-only",
            "other-kind",
            "some-topics-missing",
            "experience-not-stated",
            "approach-not-stated",
            "sector-not-as-wished",
            "function-not-as-wished",
            "not-first-language",
            "few-times",
            "answers-slowly",
        ],
        [
            "none",
            "no-gap",
            "low-rated",
            "too-busy",
            "topic-missing",
            "kind",
            "experience",
            "experience-differs",
            "approach",
            "sector",
            "function",
            "slow",
        ],
    ),
    "language": (["de", "nds", "pt-BR", "gsw-CH"], ["", "d", "DE", "de-at", "de_AT", "zh-Hant", "de-", "deut", "de\n"]),
    "country": (["DE", "AT"], ["", "D", "de", "DEU", "DE\n", "eu"]),
    "region": (["DE", "eu", "emea", "apac", "amer", "world"], ["", "EUR", "EU ", "europe", "World", "de", "eu\n", "e"]),
}


def _codes() -> list[Case]:
    return [
        {"name": f"{kind} {value!r}", "type": kind, "input": json.dumps(value), outcome: result}
        for kind, (good, bad) in _CODES.items()
        for values, outcome in ((good, "result"), (bad, "error"))
        for value in values
        for result in (value if outcome == "result" else "malformed",)
    ]


def _need(**changes: object) -> dict[str, Any]:
    return {key: value for key, value in {**_NEED, **changes}.items() if value is not None}


def _needs() -> list[Case]:
    def window(start: int, end: int) -> dict[str, int]:
        return {"end": end, "start": start}

    def accept(name: str, **changes: object) -> Case:
        return _accept(name, _need(**changes), _NEED_DEFAULTS)

    def refuse(name: str, **changes: object) -> Case:
        return _refuse(name, _canonical(_need(**changes)))

    full = {
        "topics": ["mm:first-board-presentation", "mm:convincing-sceptics", "mm:speaking-to-large-audience"],
        "languages": ["de", "en", "fr", "pt-BR"],
        "band": "lead",
        "sector": "different",
        "function": "same",
        "experience": ["did-it-often", "learned-the-hard-way"],
        "approach": ["rehearses-with-you", "direct-feedback"],
    }
    return [
        accept("a need with one topic and one window"),
        accept("a text session needs no window", format="text", windows=None),
        accept("everything that can be wished", **full),
        accept("eight windows that touch", windows=[window(n * 900, (n + 1) * 900) for n in range(8)]),
        accept("a reverse need", reverse=True, length=15),
        accept("a language of three letters", languages=["nds"]),
        refuse("no topic", topics=[]),
        refuse("four topics", topics=["mm:a", "mm:b", "mm:c", "mm:d"]),
        refuse("the same topic twice", topics=["mm:a", "mm:a"]),
        refuse("a topic that is no id", topics=["salary"]),
        refuse("no language", languages=[]),
        refuse("five languages", languages=["en", "de", "fr", "es", "it"]),
        refuse("the same language twice", languages=["en", "en"]),
        refuse("a language in capitals", languages=["EN"]),
        refuse("a region in small letters", languages=["pt-br"]),
        refuse("a script in a language", languages=["zh-Hant"]),
        refuse("an unknown format", format="letter"),
        refuse("a length of 25 minutes", length=25),
        refuse("a length as text", length="30"),
        refuse("an unknown band", band="junior"),
        refuse("an unknown wish", sector="similar"),
        refuse("a window that ends when it starts", windows=[window(900, 900)]),
        refuse("a window that runs backwards", windows=[window(1800, 900)]),
        refuse("a window before 1970", windows=[window(-900, 900)]),
        refuse("windows out of order", windows=[window(1800, 2700), window(0, 900)]),
        refuse("windows that overlap by one second", windows=[window(0, 901), window(900, 1800)]),
        refuse("nine windows", windows=[window(n * 900, (n + 1) * 900) for n in range(9)]),
        refuse("three experience types", experience=["did-it-once", "did-it-often", "teaches-it"]),
        refuse("the same approach twice", approach=["listens-first", "listens-first"]),
        refuse("an unknown approach", approach=["mind-reading"]),
        refuse("a default written out", reverse=False),
        refuse("free text", text="I present to the board on Thursday"),
    ]


def _concepts() -> list[Case]:
    def accept(name: str, lines: list[str], result: list[dict[str, Any]]) -> Case:
        defaults = {"broader": [], "group": False, "sensitive": False, "kinds": [], "holder": None}
        return {"name": name, "input": "\n".join(lines), "result": [{**defaults, **each} for each in result]}

    def refuse(name: str, *lines: str, line: int, field: str) -> Case:
        return {"name": name, "input": "\n".join(lines), "error": "malformed", "line": line, "field": field}

    good = '{"id":"mm:a","en":"A"}'
    a = {"id": "mm:a", "labels": {"en": ["A"]}}
    return [
        accept("the smallest concept", [good], [a]),
        accept(
            "labels in several languages, each with alternatives",
            ['{"id":"mm:a","en":"A","alt":["First","A"],"de":"Ä","alt_de":["Erste"]}'],
            [{"id": "mm:a", "labels": {"en": ["A", "First"], "de": ["Ä", "Erste"]}}],
        ),
        accept("no English label", ['{"id":"mm:a","fi":"Ensimmäinen"}'], [{**a, "labels": {"fi": ["Ensimmäinen"]}}]),
        accept(
            "everything a situation says",
            [
                '{"id":"mm:a","en":"A","broader":["mm:g"],"kinds":["do","know"],"holder":"senior","sensitive":true}',
                '{"id":"mm:g","en":"G","group":true}',
            ],
            [
                {**a, "broader": ["mm:g"], "kinds": ["do", "know"], "holder": "senior", "sensitive": True},
                {"id": "mm:g", "labels": {"en": ["G"]}, "group": True},
            ],
        ),
        accept("other keys are passed over", ['{"id":"mm:a","en":"A","in":["green"],"t":"s","codes":["4"]}'], [a]),
        accept("blank lines are passed over", ["", good, "   "], [a]),
        accept("the first of two lines with one id counts", [good, '{"id":"mm:a","en":"Other"}'], [a]),
        accept(
            "an unknown broader id is kept", ['{"id":"mm:a","en":"A","broader":["mm:z"]}'], [{**a, "broader": ["mm:z"]}]
        ),
        accept(
            "spaces in a label become one",
            ['{"id":"mm:a","en":" The\u00a0 board "}'],
            [{**a, "labels": {"en": ["The board"]}}],
        ),
        refuse("not JSON", good, "{", line=2, field=""),
        refuse("a list in place of an object", "[]", line=1, field=""),
        refuse("no id", '{"en":"A"}', line=1, field="id"),
        refuse("an id without a scheme", good, good, '{"id":"a","en":"A"}', line=3, field="id"),
        refuse("an id that is a number", '{"id":1,"en":"A"}', line=1, field="id"),
        refuse("no label", '{"id":"mm:a"}', line=1, field="en"),
        refuse("an empty label", '{"id":"mm:a","en":" "}', line=1, field="en"),
        refuse("a label that is a list", '{"id":"mm:a","de":["A"]}', line=1, field="de"),
        refuse("a label of 301 characters", json.dumps({"id": "mm:a", "en": "x" * 301}), line=1, field="en"),
        refuse("alternatives that are one text", '{"id":"mm:a","en":"A","alt":"B"}', line=1, field="alt"),
        refuse("an alternative that is a number", '{"id":"mm:a","en":"A","alt":[4]}', line=1, field="alt"),
        refuse(
            "alternatives of a language without a label",
            '{"id":"mm:a","en":"A","alt_de":["B"]}',
            line=1,
            field="alt_de",
        ),
        refuse("broader that is one text", '{"id":"mm:a","en":"A","broader":"mm:b"}', line=1, field="broader"),
        refuse("a broader id without a scheme", '{"id":"mm:a","en":"A","broader":["b"]}', line=1, field="broader"),
        refuse("a group that is a number", '{"id":"mm:a","en":"A","group":1}', line=1, field="group"),
        refuse("an unknown kind", '{"id":"mm:a","en":"A","kinds":["teach"]}', line=1, field="kinds"),
        refuse("an unknown holder rule", '{"id":"mm:a","en":"A","holder":"expert"}', line=1, field="holder"),
        refuse("a bad line after good ones", good, '{"id":"mm:b","en":"B"}', '{"id":"mm:c"}', line=3, field="en"),
    ]


#: Two domains; group G1 has three leaves, G2 has 61; `deep` lies under a leaf; `x` and `y` are each above the other.
_GRAPH: Final[dict[str, list[str]]] = {
    "Gdomain": [],
    "Gother": [],
    "G1": ["Gdomain"],
    "G2": ["Gdomain", "Gother"],
    "a": ["G1"],
    "b": ["G1"],
    "both": ["G1", "G2"],
    "deep": ["a"],
    "x": ["y"],
    "y": ["x"],
    "orphan": ["nowhere"],
    **{f"many{n}": ["G2"] for n in range(60)},
}


def _fits() -> list[Case]:
    rows: list[tuple[str, str, str, str | None]] = [
        ("the concept itself", "a", "a", "exact"),
        ("a concept that nobody knows fits itself", "unheard", "unheard", "exact"),
        ("a sibling in a small group", "a", "b", "near"),
        ("a direct parent that is no group", "deep", "a", "near"),
        ("a direct child", "a", "deep", "near"),
        ("a leaf of the group asked for", "G1", "a", "near"),
        ("the group of the concept", "a", "G1", "general"),
        ("the domain of the concept", "a", "Gdomain", "general"),
        ("the group above the leaf above", "deep", "G1", "general"),
        ("a large group still covers what is in it", "many1", "G2", "general"),
        ("the second domain of a concept with two groups", "both", "Gother", "general"),
        ("two concepts that are each above the other", "x", "y", "near"),
        ("a sibling in a group of more than sixty", "many1", "many2", None),
        ("a leaf of a group of more than sixty that was asked for", "G2", "many1", None),
        ("a concept of another group", "b", "many1", None),
        ("the child of a sibling", "b", "deep", None),
        ("a grandparent that is a group but not the nearest", "deep", "Gother", None),
        ("a domain of other concepts", "a", "Gother", None),
        ("another group of the same domain", "a", "G2", None),
        ("an unknown parent", "orphan", "nowhere", None),
        ("an unknown concept", "a", "unheard", None),
        ("an unknown wish", "unheard", "a", None),
        ("a leaf for a whole domain", "Gdomain", "a", None),
        ("nothing in common", "orphan", "x", None),
    ]
    return [{"name": name, "wanted": wanted, "offered": offered, "fit": fit} for name, wanted, offered, fit in rows]

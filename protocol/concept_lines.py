"""Concepts from JSON Lines `{id, en, alt, broader, …}`: one object per line, all of them checked before any is used.

Any two-letter key is a label language and `alt_xx` holds further labels of language xx (`alt`: of English). This is the
shape of common extracts of ESCO and O*NET; their official CSV packages are not read here.
Source: docs/protocol/10-vocabulary.md §10.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from .concepts import Concept
from .encoding import broken_rule
from .errors import LimitError, MalformedError
from .text import displayable
from .vocabulary import Band, Kind, TopicId

MAX_LINE_BYTES: Final = 65_536
MAX_CONCEPTS: Final = 500_000

_LANGUAGE: Final = re.compile(r"[a-z]{2}")
_FURTHER: Final = re.compile(r"alt(?:_([a-z]{2}))?")
#: Two-letter keys that are no language here: the identifier, and the collections of ESCO extracts.
_NO_LANGUAGE: Final = frozenset({"id", "in"})
_LABEL_LENGTH: Final = 300
_FURTHER_LABELS: Final = 200


class _Fields(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a line apart from its labels."""

    id: TopicId
    broader: Annotated[tuple[TopicId, ...], msgspec.Meta(max_length=64)] = ()
    group: bool = False
    sensitive: bool = False
    kinds: tuple[Kind, ...] = ()
    holder: Band | None = None


class ParsedConcepts(msgspec.Struct, frozen=True, kw_only=True):
    """The concepts of a file in its order, and what was passed over: lines whose id came before, keys not read."""

    concepts: tuple[Concept, ...]
    repeated: int
    keys_passed_over: tuple[str, ...]


def parse_concepts(lines: Iterable[bytes], *, groups: bool = False) -> ParsedConcepts:
    """Return the concepts of all `lines`, or refuse the whole file at its first bad line.

    Blank lines are passed over. Of two lines with one id the first counts. Broader ids may be unknown or run in a
    circle: the graph takes no harm (`concepts.Vocabulary`).

    Args:
        lines: UTF-8, one JSON object each.
        groups: mark every concept as a group, for files that hold nothing else and do not say so.

    Raises:
        MalformedError: names the line, counted from 1, and the field.
        LimitError: more than `MAX_CONCEPTS` concepts.
    """
    found: dict[str, Concept] = {}
    passed_over: set[str] = set()
    repeated = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        concept, keys = _parse_line(line, number, groups=groups)
        passed_over |= keys
        repeated += concept.id in found
        found.setdefault(concept.id, concept)
        if len(found) > MAX_CONCEPTS:
            raise LimitError(f"line {number}: a vocabulary may have at most {MAX_CONCEPTS} concepts")
    return ParsedConcepts(
        concepts=tuple(found.values()), repeated=repeated, keys_passed_over=tuple(sorted(passed_over))
    )


def _parse_line(line: bytes, number: int, *, groups: bool) -> tuple[Concept, set[str]]:
    """Return the concept of one line and the keys that were not read."""
    if len(line) > MAX_LINE_BYTES:
        raise MalformedError(f"line {number}: longer than {MAX_LINE_BYTES} bytes")
    try:
        raw = msgspec.json.decode(line, type=dict[str, object])
        fields = msgspec.json.decode(line, type=_Fields)
    except msgspec.ValidationError as error:
        raise MalformedError(f"line {number}: {_rule(error)}") from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise MalformedError(f"line {number}: not a JSON object in UTF-8") from None
    labels, read = _labels(raw, number)
    concept = Concept(
        id=fields.id,
        labels=labels,
        broader=fields.broader,
        group=fields.group or groups,
        sensitive=fields.sensitive,
        kinds=fields.kinds,
        holder=fields.holder,
    )
    return concept, raw.keys() - read - set(_Fields.__struct_fields__)


def _rule(error: msgspec.ValidationError) -> str:
    """Return which field breaks which rule, in the words of somebody who has the file before them."""
    rule = broken_rule(error)
    field = re.search(r"`\$\.([a-z]+)", rule)
    if field and "matching regex" in rule:
        return f"{field[1]}: an id begins with esco:, onet:, mm: or ext: and has no spaces"
    return rule


def _labels(raw: dict[str, object], number: int) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Return the labels by language, preferred one first, and the keys they came from."""
    preferred = {key: value for key, value in raw.items() if _LANGUAGE.fullmatch(key) and key not in _NO_LANGUAGE}
    further = {key: match[1] or "en" for key in raw if (match := _FURTHER.fullmatch(key))}
    labels: dict[str, tuple[str, ...]] = {
        language: (_label(value, language, number),) for language, value in preferred.items()
    }
    if not labels:
        raise MalformedError(f"line {number}: en: a concept needs a label in at least one language")
    for key, language in further.items():
        values = raw[key]
        if not isinstance(values, list) or len(values) > _FURTHER_LABELS:
            raise MalformedError(f"line {number}: {key}: must be a list of at most {_FURTHER_LABELS} labels")
        if language not in labels:
            raise MalformedError(f"line {number}: {key}: needs a preferred label in {language}")
        more = (_label(value, key, number) for value in values)
        labels[language] = tuple(dict.fromkeys((*labels[language], *more)))
    return labels, preferred.keys() | further.keys()


def _label(value: object, field: str, number: int) -> str:
    """Return one label with single plain spaces and nothing invisible: published files hold both."""
    text = " ".join(displayable(value, lines=False).split()) if isinstance(value, str) else ""
    if not 1 <= len(text) <= _LABEL_LENGTH:
        raise MalformedError(f"line {number}: {field}: must be text of 1 to {_LABEL_LENGTH} characters")
    return text

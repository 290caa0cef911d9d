"""Who must have signed a checkpoint before it is trusted (C2SP tlog-policy): logs, witnesses, groups, one quorum.

Subset: the file is UTF-8, keys are Ed25519 (`0x01` for logs, `0x04` for witnesses), at most 32 logs, witnesses and
groups each. Comments and spare white space are read and not kept: for a file without them, `policy_text` of what was
read is the file again. Source: docs/protocol/53-witnesses.md §4–§5.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final, TypeVar

import msgspec

from protocol.errors import LimitError, MalformedError, UnverifiedError
from protocol.signing import VerifyKey

from .checkpoint import CheckpointNote, SignedCheckpoint, open_checkpoint
from .cosignature import Cosigned, cosigners
from .lines import decimal
from .note import LogKey, NoteKey, WitnessKey, parse_vkey

MAX_POLICY_BYTES: Final = 64 * 1024
MAX_OF_A_KIND: Final = 32
NONE: Final = "none"

_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_URL: Final = re.compile(r"https?://[\x21-\x7e]{1,500}", re.ASCII)


class PolicyLimitError(LimitError):
    """A policy is over 64 KiB, or has more than 32 logs, witnesses or groups."""

    code = "policy-limit"


class PolicyBytesError(MalformedError):
    """A policy is not UTF-8, has a control character, or does not end with a line feed."""

    code = "policy-bytes"


class PolicyLineError(MalformedError):
    """A line is not one of `log`, `witness`, `group` or `quorum` with the words that belong to it."""

    code = "policy-line"


class PolicyNameError(MalformedError):
    """A name is defined twice, used before it is defined, or `none` where a member must stand."""

    code = "policy-name"


class PolicyKeyError(MalformedError):
    """A key is of the wrong type for its line, or stands in the policy twice."""

    code = "policy-key"


class ThresholdError(MalformedError):
    """A group needs none of its members, or more than it has; or a member counts twice."""

    code = "policy-threshold"


class QuorumLineError(MalformedError):
    """A policy has no quorum line, or a second one."""

    code = "policy-quorum"


class UnknownLogError(UnverifiedError):
    """A checkpoint is of a log that the policy does not name."""

    code = "unknown-log"


class QuorumError(UnverifiedError):
    """Too few of the witnesses, or not the right ones, have cosigned."""

    code = "quorum"


class PolicyLog(msgspec.Struct, frozen=True, kw_only=True):
    """`log VKEY [URL]`."""

    key: LogKey
    url: str = ""


class PolicyWitness(msgspec.Struct, frozen=True, kw_only=True):
    """`witness NAME VKEY [URL]`; the name has no meaning outside the policy."""

    name: str
    key: WitnessKey
    url: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """`group NAME all|any|K NAME…`; `rule` is the second word as it was written."""

    name: str
    rule: str
    members: tuple[str, ...]

    @property
    def threshold(self) -> int:
        """How many members must have witnessed."""
        return {"any": 1, "all": len(self.members)}.get(self.rule) or int(self.rule)


class Quorum(msgspec.Struct, frozen=True, kw_only=True):
    """`quorum NAME`; `none` asks for no witness at all."""

    name: str


Line = PolicyLog | PolicyWitness | Group | Quorum
LineT = TypeVar("LineT", PolicyLog, PolicyWitness, Group)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy whose every name is defined before it is used; `lines` in the order of the file."""

    lines: tuple[Line, ...]

    def of(self, kind: type[LineT]) -> tuple[LineT, ...]:
        """Return the lines of one kind."""
        return tuple(line for line in self.lines if isinstance(line, kind))

    @property
    def quorum(self) -> str:
        """The name of the witness or group that must have witnessed."""
        return next(line.name for line in self.lines if isinstance(line, Quorum))

    def log_keys(self, origin: str) -> tuple[LogKey, ...]:
        """Return the keys of one log. Raises: UnknownLogError: it has none."""
        keys = tuple(log.key for log in self.of(PolicyLog) if log.key.name == origin)
        if not keys:
            raise UnknownLogError("checkpoint is of a log that the policy does not name")
        return keys


class Witnessed(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that its log signed and a quorum cosigned; `cosigned` are all known witnesses that did."""

    signed: SignedCheckpoint
    cosigned: tuple[Cosigned, ...]


def parse_policy(data: bytes) -> Policy:
    """Return the policy in a file.

    Raises: PolicyLimitError, PolicyBytesError, PolicyLineError, PolicyNameError, PolicyKeyError, ThresholdError,
        QuorumLineError, and whatever `parse_vkey` raises.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyLimitError(f"policy is over {MAX_POLICY_BYTES} bytes")
    rows = (row.strip(" \t") for row in _text(data).split("\n"))
    policy = Policy(lines=tuple(_line(re.split("[ \t]+", row)) for row in rows if row and not row.startswith("#")))
    _check_names(policy.lines)
    _check_keys(policy)
    return policy


def policy_text(policy: Policy) -> str:
    """Return the policy as a file with one space between words and nothing else."""
    return "".join(f"{' '.join(word for word in _words(line) if word)}\n" for line in policy.lines)


def _words(line: Line) -> tuple[str, ...]:
    match line:
        case PolicyLog():
            return "log", line.key.vkey, line.url
        case PolicyWitness():
            return "witness", line.name, line.key.vkey, line.url
        case Group():
            return "group", line.name, line.rule, *line.members
        case Quorum():
            return "quorum", line.name


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise PolicyBytesError("policy must be UTF-8") from None
    if _FORBIDDEN.search(text) or not text.endswith("\n"):
        raise PolicyBytesError("policy must have no control characters but tab and line feed, and end with one")
    return text


def _line(words: list[str]) -> Line:
    match words:
        case ["log", vkey, *url]:
            key = parse_vkey(vkey)
            if not isinstance(key, LogKey):
                raise PolicyKeyError("policy: a log needs a key of type 0x01")
            return PolicyLog(key=key, url=_url(url))
        case ["witness", name, vkey, *url]:
            key = parse_vkey(vkey)
            if not isinstance(key, WitnessKey):
                raise PolicyKeyError("policy: a witness needs a key of type 0x04")
            return PolicyWitness(name=name, key=key, url=_url(url))
        case ["group", name, rule, *members] if members:
            return _group(name, rule, members)
        case ["quorum", name]:
            return Quorum(name=name)
        case _:
            raise PolicyLineError("policy: a line must be a log, a witness, a group or a quorum")


def _url(words: list[str]) -> str:
    if not words:
        return ""
    if len(words) > 1 or not _URL.fullmatch(words[0]):
        raise PolicyLineError("policy: after a key only one http(s) URL may stand")
    return words[0]


def _group(name: str, rule: str, members: list[str]) -> Group:
    if rule not in {"any", "all"} and not 1 <= decimal(rule, what="policy: threshold") <= len(members):
        raise ThresholdError("policy: a group needs at least one member, and at most all of them")
    return Group(name=name, rule=rule, members=tuple(members))


def _check_names(lines: Iterable[Line]) -> None:
    """Return when each name is defined once and before its use, is member of one group only, and one quorum stands."""
    defined: set[str] = set()
    members: set[str] = set()
    quorums = 0
    for line in lines:
        match line:
            case PolicyWitness() | Group():
                if line.name in defined or line.name == NONE:
                    raise PolicyNameError("policy: a name is defined twice, or is the word none")
                if isinstance(line, Group):
                    _check_members(line, defined, members)
                defined.add(line.name)
            case Quorum():
                quorums += 1
                if line.name not in defined and line.name != NONE:
                    raise PolicyNameError("policy: the quorum is not defined before its line")
    if quorums != 1:
        raise QuorumLineError("policy must have exactly one quorum line")


def _check_members(group: Group, defined: set[str], members: set[str]) -> None:
    for name in group.members:
        if name not in defined:
            raise PolicyNameError("policy: a group names a member that is not defined before it")
        if name in members:
            raise ThresholdError("policy: a name is a member twice, so one witness would count twice")
        members.add(name)


def _check_keys(policy: Policy) -> None:
    logs, witnesses = policy.of(PolicyLog), policy.of(PolicyWitness)
    if max(len(logs), len(witnesses), len(policy.of(Group))) > MAX_OF_A_KIND:
        raise PolicyLimitError(f"policy has over {MAX_OF_A_KIND} logs, witnesses or groups")
    keys: list[NoteKey] = [*(log.key for log in logs), *(witness.key for witness in witnesses)]
    named = {(key.name, key.key_id) for key in keys}
    if len({key.key for key in keys}) != len(keys) or len(named) != len(keys):
        raise PolicyKeyError("policy: a public key, or a name with its key id, stands on two lines")


def check_quorum(policy: Policy, cosigned: Collection[Cosigned], *, own: Collection[VerifyKey] = ()) -> None:
    """Return when `cosigned` satisfy the quorum of `policy`.

    Args:
        cosigned: verified cosignatures of one checkpoint.
        own: keys that never count, because the log's own operator holds them.
    Raises: QuorumError.
    """
    counting = {each.witness for each in cosigned if each.witness.key not in own}
    fulfilled = {line.name for line in policy.of(PolicyWitness) if line.key in counting}
    for group in policy.of(Group):
        if sum(name in fulfilled for name in group.members) >= group.threshold:
            fulfilled.add(group.name)
    if policy.quorum not in {NONE, *fulfilled}:
        raise QuorumError("checkpoint is not cosigned by the quorum of the policy")


def open_witnessed(found: CheckpointNote, policy: Policy, *, now: int, own: Collection[VerifyKey] = ()) -> Witnessed:
    """Return the checkpoint once a log of `policy` signed it and the quorum cosigned it.

    Raises: UnknownLogError, QuorumError; every case of `open_checkpoint` and `cosigners`.
    """
    signed = open_checkpoint(found, policy.log_keys(found.checkpoint.origin))
    cosigned = cosigners(signed, [line.key for line in policy.of(PolicyWitness)], now=now)
    check_quorum(policy, cosigned, own=own)
    return Witnessed(signed=signed, cosigned=cosigned)

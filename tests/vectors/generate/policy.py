"""Vectors of docs/protocol/53-witnesses.md §4–§5: policies, and who fulfils them."""

from typing import Final

from tests.vectors.c2sp import BIRCH, COBALT, DELTA, LOG, NOW, OLDER_LOG, OTHER_LOG, Party, checkpoint, signed, vkey

from .devices import Case, file

SIZE: Final = 300
WITNESSES: Final = {"birch": BIRCH, "cobalt": COBALT, "delta": DELTA}
HEAD: Final = f"log {LOG.vkey}\n" + "".join(f"witness {name} {party.vkey}\n" for name, party in WITNESSES.items())
TWO: Final = f"{HEAD}group two 2 birch cobalt delta\nquorum two\n"
ML_DSA: Final = vkey("witness.example", 6, bytes(1312))


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "policy/policies.json": file(
            "53-witnesses §4",
            "`input` is a policy; `result` is its canonical form where that differs, and else null.",
            [*_policies(), *_bad_policies()],
        ),
        "policy/quorums.json": file(
            "53-witnesses §5",
            "The checkpoint `input` is opened under `policy` at `now`; keys of the witnesses named in `own` do not "
            "count. `result` names who cosigned.",
            [*_fulfilled(), *_unfulfilled()],
        ),
    }


def _policies() -> list[Case]:
    nested = (
        f"{HEAD}witness echo {Party('echo.example/w', 4).vkey} https://echo.example/witness\n"
        "group pair all birch cobalt\ngroup rest any delta echo\ngroup both all pair rest\nquorum both\n"
    )
    wild = f"# ours\n\n \tlog\t{LOG.vkey}  https://aurora.example/log\t\n  # none\n\nquorum   none\n"
    found: dict[str, tuple[str, str | None]] = {
        "two of three witnesses": (TWO, None),
        "groups of groups, and a URL": (nested, None),
        "one witness": (f"{HEAD}quorum birch\n", None),
        "no witness": (f"log {LOG.vkey}\nquorum none\n", None),
        "no log": ("quorum none\n", None),
        "two keys of one log": (f"log {LOG.vkey}\nlog {OLDER_LOG.vkey}\nquorum none\n", None),
        "a quorum before other lines": (f"quorum none\nlog {LOG.vkey}\n", None),
        "names beyond ASCII": (f"witness žluť {BIRCH.vkey}\nquorum žluť\n", None),
        "comments and spare white space": (wild, f"log {LOG.vkey} https://aurora.example/log\nquorum none\n"),
    }
    return [{"name": name, "input": text, "result": canonical} for name, (text, canonical) in found.items()]


def _bad_policies() -> list[Case]:
    birch = f"witness birch {BIRCH.vkey}\n"
    many = "".join(f"log {Party(f'log{number}.example', 1).vkey}\n" for number in range(33))
    refused = [
        ("policy-bytes", "nothing at all", ""),
        ("policy-bytes", "no line feed at the end", "quorum none"),
        ("policy-bytes", "lines ended by carriage return and line feed", "quorum none\r\n"),
        ("policy-bytes", "a zero byte in a comment", "# \0\nquorum none\n"),
        ("policy-line", "an unknown word", "logs none\nquorum none\n"),
        ("policy-line", "a log without a key", "log\nquorum none\n"),
        ("policy-line", "a witness without a key", "witness birch\nquorum none\n"),
        ("policy-line", "a group without members", f"{birch}group g any\nquorum g\n"),
        ("policy-line", "a quorum of two names", f"{birch}quorum birch birch\n"),
        ("policy-line", "a quorum of nothing", f"{birch}quorum\n"),
        ("policy-line", "a comment after a line", "quorum none # for now\n"),
        ("policy-line", "two URLs", f"log {LOG.vkey} https://a.example https://b.example\nquorum none\n"),
        ("policy-line", "a URL of another scheme", f"log {LOG.vkey} ftp://a.example\nquorum none\n"),
        ("policy-line", "a no-break space between words", "quorum\u00a0none\n"),
        ("policy-name", "a quorum that nobody defined", "quorum birch\n"),
        ("policy-name", "a quorum before its definition", f"quorum birch\n{birch}"),
        ("policy-name", "a member that nobody defined", f"{birch}group g any birch cobalt\nquorum g\n"),
        ("policy-name", "a group that holds itself", f"{birch}group g any birch g\nquorum g\n"),
        ("policy-name", "none as a member", f"{birch}group g any none\nquorum g\n"),
        ("policy-name", "a witness called none", f"witness none {BIRCH.vkey}\nquorum none\n"),
        ("policy-name", "one name for a witness and a group", f"{birch}group birch any birch\nquorum birch\n"),
        ("policy-key", "one witness under two names", f"{birch}witness other {BIRCH.vkey}\nquorum birch\n"),
        (
            "policy-key",
            "one public key under two key names",
            f"{birch}witness other {vkey('b.example', 4, BIRCH.public)}\nquorum birch\n",
        ),
        (
            "policy-key",
            "a log that witnesses itself",
            f"log {LOG.vkey}\nwitness own {vkey('a.example', 4, LOG.public)}\nquorum own\n",
        ),
        ("policy-key", "one log twice", f"log {LOG.vkey}\nlog {LOG.vkey}\nquorum none\n"),
        ("policy-key", "a log with the key of a witness", f"log {BIRCH.vkey}\nquorum none\n"),
        ("policy-key", "a witness with the key of a log", f"witness birch {LOG.vkey}\nquorum none\n"),
        ("policy-threshold", "a threshold of zero", f"{birch}group g 0 birch\nquorum g\n"),
        ("policy-threshold", "a threshold above the members", f"{birch}group g 2 birch\nquorum g\n"),
        ("policy-threshold", "a member twice in a group", f"{birch}group g 2 birch birch\nquorum g\n"),
        ("policy-threshold", "a member of two groups", f"{birch}group g any birch\ngroup h any birch\nquorum h\n"),
        ("number", "a negative threshold", f"{birch}group g -1 birch\nquorum g\n"),
        ("number", "a threshold with a leading zero", f"{birch}group g 01 birch\nquorum g\n"),
        ("number", "a word for a threshold", f"{birch}group g most birch\nquorum g\n"),
        ("policy-quorum", "no quorum", f"log {LOG.vkey}\n"),
        ("policy-quorum", "two quorums", "quorum none\nquorum none\n"),
        ("policy-limit", "33 logs", f"{many}quorum none\n"),
        ("vkey-type", "an ML-DSA-44 key", f"witness birch {ML_DSA}\nquorum birch\n"),
        (
            "vkey-id",
            "a key under another name",
            f"witness birch {BIRCH.vkey.replace('birch', 'cobalt', 1)}\nquorum birch\n",
        ),
    ]
    return [
        {"name": name, "input": text, "error": "limit" if rule.endswith("limit") else "malformed", "rule": rule}
        for rule, name, text in refused
    ]


def _case(name: str, policy: str, by: tuple[Party, ...], own: tuple[str, ...] = (), **outcome: object) -> Case:
    text = checkpoint(SIZE)
    note = signed(SIZE, *(party.cosigns(text) for party in by))
    return {"name": name, "policy": policy, "input": note, "own": list(own), "now": NOW, **outcome}


def _fulfilled() -> list[Case]:
    nested = f"{HEAD}group pair all birch cobalt\ngroup both any pair delta\nquorum both\n"
    return [
        _case("two of three", TWO, (DELTA, BIRCH), result=["birch", "delta"]),
        _case("all of three", TWO, (BIRCH, COBALT, DELTA), result=["birch", "cobalt", "delta"]),
        _case("nobody, and none is asked for", f"log {LOG.vkey}\nquorum none\n", (), result=[]),
        _case("one, and it is the one", f"{HEAD}quorum delta\n", (DELTA,), result=["delta"]),
        _case("one branch of a group of groups", nested, (BIRCH, COBALT), result=["birch", "cobalt"]),
        _case("the other branch", nested, (DELTA,), result=["delta"]),
        _case(
            "one's own besides two others", TWO, (BIRCH, COBALT, DELTA), ("delta",), result=["birch", "cobalt", "delta"]
        ),
    ]


def _unfulfilled() -> list[Case]:
    def bad(rule: str, name: str, policy: str, by: tuple[Party, ...], own: tuple[str, ...] = ()) -> Case:
        return _case(name, policy, by, own, error="unverified", rule=rule)

    nested = f"{HEAD}group pair all birch cobalt\ngroup both any pair delta\nquorum both\n"
    late = _case("", TWO, (BIRCH,))
    text = checkpoint(SIZE)
    future = {**late, "input": signed(SIZE, BIRCH.cosigns(text), COBALT.cosigns(text, NOW + 61))}
    return [
        bad("quorum", "one of three", TWO, (COBALT,)),
        bad("quorum", "two of three, one of them one's own", TWO, (COBALT, DELTA), ("cobalt",)),
        bad("quorum", "not the one that is asked for", f"{HEAD}quorum delta\n", (BIRCH, COBALT)),
        bad("quorum", "half of a group that asks for all", nested, (BIRCH,)),
        bad(
            "quorum",
            "a witness that is not in the policy",
            f"log {LOG.vkey}\nwitness birch {BIRCH.vkey}\nquorum birch\n",
            (COBALT,),
        ),
        {**future, "name": "two of three, one of them from the future", "error": "unverified", "rule": "quorum"},
        bad("repeated-signer", "one witness twice", TWO, (BIRCH, BIRCH)),
        bad("unknown-log", "a log that the policy does not name", f"log {OTHER_LOG.vkey}\nquorum none\n", ()),
        bad("unknown-log", "a policy without a log", "quorum none\n", ()),
        bad("unsigned", "a key that the log no longer uses", f"log {OLDER_LOG.vkey}\nquorum none\n", ()),
    ]

"""witness-log as a witness of a log of ours, or as a log: a question on standard input, its answer as JSON."""

import json
import sys
from typing import Any

from witness_log import WitnessLog, WitnessService


def witness(question: dict[str, Any]) -> object:
    """Return the key of a new witness, and status, content type and body of its answer to each of `requests`."""
    service = WitnessService.new(question["name"], bytes.fromhex(question["seed"]))
    service.add_log(question["origin"], question["vkey"])
    answers = [service.handle_add_checkpoint_http(body, question["now"]) for body in question["requests"]]
    return {"vkey": service.vkey(), "answers": answers}


def log(question: dict[str, Any]) -> object:
    """Return the key of a new log, and what it asks of a witness on the way through `sizes`."""
    found = WitnessLog.resume(bytes.fromhex(question["seed"]), 1)
    sizes = question["sizes"]
    for number in range(sizes[-1]):
        found.append_intent(b"entry %d" % number)
    steps = zip([0, *sizes], sizes, strict=False)
    requests = [found.add_checkpoint_body_at(new, old) for old, new in steps]
    return {"vkey": found.c2sp_vkey(found.canonical_origin()), "requests": requests}


asked = json.load(sys.stdin)
json.dump({"witness": witness, "log": log}[asked["do"]](asked), sys.stdout)

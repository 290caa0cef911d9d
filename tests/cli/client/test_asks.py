"""Which need is meant when somebody says "the last one"."""

from msgspec.structs import replace

from cli.client.state import dump_state, load_state
from protocol.encoding import b64, sha256

from .pair import ASK, Pair


def test_of_needs_asked_in_one_second_the_last_one_counts() -> None:
    state = Pair().mentee
    first = state.asks[ASK]
    second = replace(first, id=b64(sha256(b"second")[:16]))
    state = state.with_ask(second)
    assert state.last_ask is second
    # Something new about the first one does not make it the last.
    state = state.with_ask(replace(first, attempts=1))
    restarted = load_state(dump_state(state))
    assert restarted.last_ask == second

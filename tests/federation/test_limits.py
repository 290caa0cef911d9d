"""Token buckets are exact to the token and bounded in number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.limits import Buckets, address_key
from protocol.errors import LimitError

NOW = 1_800_000_000_000


def test_a_full_bucket_gives_its_burst_and_then_one_token_at_a_time() -> None:
    buckets = Buckets(per_minute=60, burst=3)
    for _ in range(3):
        buckets.take("a", now_ms=NOW)
    with pytest.raises(LimitError) as refusal:
        buckets.take("a", now_ms=NOW)
    assert refusal.value.retry_at == NOW // 1000 + 2
    with pytest.raises(LimitError):
        buckets.take("a", now_ms=NOW + 999)
    buckets.take("a", now_ms=NOW + 1000)
    with pytest.raises(LimitError):
        buckets.take("a", now_ms=NOW + 1000)


def test_a_clock_that_was_set_back_keeps_nobody_out_until_it_is_where_it_was() -> None:
    buckets = Buckets(per_minute=60, burst=1)
    buckets.take("a", now_ms=NOW + 3_600_000)
    with pytest.raises(LimitError):
        buckets.take("a", now_ms=NOW)
    buckets.take("a", now_ms=NOW + 1000)


def test_looking_takes_nothing() -> None:
    buckets = Buckets(per_minute=1, burst=1)
    for _ in range(5):
        buckets.check("a", now_ms=NOW)
    buckets.take("a", now_ms=NOW)
    with pytest.raises(LimitError):
        buckets.check("a", now_ms=NOW)


def test_a_token_that_is_given_back_can_be_taken_again_and_never_makes_more() -> None:
    buckets = Buckets(per_minute=60, burst=1)
    buckets.take("a", now_ms=NOW)
    buckets.give_back("a", now_ms=NOW)
    buckets.give_back("a", now_ms=NOW)
    buckets.take("a", now_ms=NOW)
    with pytest.raises(LimitError):
        buckets.take("a", now_ms=NOW)


def test_one_key_does_not_use_up_another() -> None:
    buckets = Buckets(per_minute=1, burst=1)
    buckets.take("a", now_ms=NOW)
    buckets.take("b", now_ms=NOW)


def test_a_clock_that_is_set_back_gives_no_tokens_and_takes_none() -> None:
    buckets = Buckets(per_minute=60, burst=1)
    buckets.take("a", now_ms=NOW)
    with pytest.raises(LimitError):
        buckets.take("a", now_ms=NOW - 3_600_000)
    buckets.take("b", now_ms=NOW - 3_600_000)


def test_the_caller_of_longest_ago_is_forgotten_first() -> None:
    buckets = Buckets(per_minute=1, burst=1, capacity=2)
    for key in ("a", "b", "c"):
        buckets.take(key, now_ms=NOW)
    buckets.take("a", now_ms=NOW)
    with pytest.raises(LimitError):
        buckets.take("c", now_ms=NOW)


@given(st.lists(st.integers(0, 5000), max_size=60), st.integers(1, 10), st.integers(1, 600))
def test_never_more_than_the_burst_and_the_rate_allow(pauses: list[int], burst: int, per_minute: int) -> None:
    buckets, now, given_out = Buckets(per_minute=per_minute, burst=burst), NOW, 0
    for pause in pauses:
        now += pause
        try:
            buckets.take("a", now_ms=now)
        except LimitError:
            continue
        given_out += 1
    assert given_out <= burst + (now - NOW) * per_minute / 60_000 + 1e-6


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("", "unknown"),
        ("mallory", "unknown"),
    ],
)
def test_an_address_is_limited_by_what_one_host_has(address: str, key: str) -> None:
    assert address_key(address) == key

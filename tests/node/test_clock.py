"""The real clock tells the machine's time and the real entropy does not repeat."""

import time

from federation.ports import Clock, Entropy
from node.clock import SystemClock, SystemEntropy


async def test_the_clock_is_the_machine_s() -> None:
    clock: Clock = SystemClock()
    before = time.time_ns() // 1_000_000
    now, now_ms = clock.now(), clock.now_ms()
    await clock.sleep(0)
    assert before <= now_ms <= time.time_ns() // 1_000_000
    assert before // 1000 <= now <= now_ms // 1000 + 1


def test_entropy_has_the_size_asked_for_and_does_not_repeat() -> None:
    entropy: Entropy = SystemEntropy()
    assert [len(entropy.take(size)) for size in (0, 1, 16, 1000)] == [0, 1, 16, 1000]
    assert entropy.take(16) != entropy.take(16)

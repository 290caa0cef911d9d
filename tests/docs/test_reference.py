"""The reference says what the program does, word for word."""

import re

import pytest

from node.api.table import ALL_ROUTES
from node.sections import LimitsSection
from tests.architecture.house import ROOT

from .reference import CALLERS, PAGES

REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_program_would_write_now(name: str) -> None:
    written = (REFERENCE / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), f"run `python -m tests.docs`: docs/reference/{name} is not up to date"


def test_every_kind_of_caller_is_explained() -> None:
    assert {route.auth for route in ALL_ROUTES} == set(CALLERS)


SAMPLES = ROOT / "docs" / "how-to" / "samples"


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_a_sample_of_a_proxy_closes_what_is_for_this_machine(name: str) -> None:
    sample = (SAMPLES / name).read_text(encoding="utf-8")
    local = {route.path for route in ALL_ROUTES if route.auth == "local"}
    operator = {route.path for route in ALL_ROUTES if route.auth == "operator"}
    assert local == {"/metrics"}
    assert all(path.startswith("/operator/") for path in operator)
    assert "/metrics" in sample
    assert "/operator/" in sample


@pytest.mark.parametrize("name", ["mentormesh-proxy.conf", "Caddyfile"])
def test_a_sample_of_a_proxy_sets_the_name_and_replaces_the_address(name: str) -> None:
    sample = (SAMPLES / name).read_text(encoding="utf-8")
    assert re.search(r"Host mentors\.aurora\.example", sample)
    assert re.search(r"X-Forwarded-For (\$remote_addr|\{remote_host\})", sample)
    assert "75s" in sample


def test_the_sample_unit_leaves_the_node_time_to_stop() -> None:
    sample = (SAMPLES / "mentormesh.service").read_text(encoding="utf-8")
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", sample, re.MULTILINE)
    assert int(seconds) > LimitsSection().stop_s
    assert "Type=notify" in sample

"""Names and addresses of a node: which it answers to, and whose address a request counts for."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from node import config as configuration
from node.api.hosts import Hosts
from node.birth import render_settings
from tests.node.running import settings


class Transport:
    """The address at the other end."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 50000) if name == "peername" else default


def hosts(**node: Any) -> Hosts:  # noqa: ANN401 -- any setting
    return Hosts(configuration.parse(render_settings(settings(node=node)), {}), 8440)


def request(address: str, **headers: str) -> Any:  # noqa: ANN401 -- a stand-in of the library's
    named = {"Host": "127.0.0.1:8440"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/", headers=named, transport=Transport(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_is_known_by_its_address(address: str) -> None:
    assert hosts().is_local(request(address))


@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "10.0.0.1", ""])
def test_another_machine_is_not_this_one(address: str) -> None:
    assert not hosts().is_local(request(address))


@pytest.mark.parametrize("header", ["Forwarded", "X_Forwarded_For", "Via", "X_Real_IP", "X_Forwarded_Proto"])
def test_what_came_through_a_proxy_is_not_this_machine(header: str) -> None:
    assert not hosts().is_local(request("127.0.0.1", **{header: "x"}))


@pytest.mark.parametrize("host", ["aurora.example", "127.0.0.1", "127.0.0.1:8441", ""])
def test_a_proxy_that_adds_no_header_is_known_by_the_name_it_passes_on(host: str) -> None:
    assert not hosts().is_local(request("127.0.0.1", Host=host))


def test_behind_a_balancer_a_process_answers_to_both_ports_and_its_pages_to_the_balancers() -> None:
    config = configuration.parse(render_settings(settings(development={"port": 8400})), {})
    behind = Hosts(config, 8440)
    assert behind.page == "aurora.localhost:8400"
    assert [behind.is_local(request("127.0.0.1", Host=f"127.0.0.1:{port}")) for port in (8400, 8440, 8441)] == [
        True,
        True,
        False,
    ]


def test_the_socket_says_whose_address_it_is_unless_there_is_a_proxy() -> None:
    forged = request("192.0.2.1", X_Forwarded_For="198.51.100.7")
    assert hosts().client_address(forged) == "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("", "127.0.0.1"),
        ("x" * 99, "x" * 45),
    ],
)
def test_a_configured_proxys_last_word_counts(forwarded: str, address: str) -> None:
    assert hosts(behind_proxy=True).client_address(request("127.0.0.1", X_Forwarded_For=forwarded)) == address


def test_a_proxy_that_says_nothing_leaves_its_own_address() -> None:
    assert hosts(behind_proxy=True).client_address(request("127.0.0.1")) == "127.0.0.1"

"""The samples for several machines say what the program understands."""

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from cli.serve import serve
from node import config as configuration
from node.api.table import ALL_ROUTES
from node.sections import LimitsSection, StoreSection
from node.store.postgres import spare
from tests.architecture.house import ROOT

HOW_TO: Final = ROOT / "docs" / "how-to"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((HOW_TO / "samples" / "compose.yaml").read_text(encoding="utf-8"))
BALANCER: Final = (HOW_TO / "samples" / "haproxy.cfg").read_text(encoding="utf-8")
PAGE: Final = (HOW_TO / "operate-on-postgresql.md").read_text(encoding="utf-8")
NODES: Final = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "mentormesh"}


def test_every_setting_of_the_sample_exists_and_has_a_value_that_is_taken() -> None:
    assert len(NODES) == 2
    basic = '[node]\nentity = "https://aurora.example"\n[org]\ndisplay_name = "Aurora"\ncountries = ["DE"]\n'
    for service in NODES.values():
        found = configuration.parse(basic, service["environment"])
        assert found.store.url.startswith("postgresql://")
        assert found.node.behind_proxy
        assert found.store.several


def test_every_process_of_the_sample_is_started_as_the_program_takes_it() -> None:
    for service in NODES.values():
        program, command, *words = service["command"]
        assert (program, command) == ("mentormesh", serve.name)
        chosen = serve.make_context(command, words).params
        assert chosen["directory"] == Path("/node")
        assert not chosen["standby"]


def test_the_services_of_the_sample_name_each_other() -> None:
    names, secrets = set(COMPOSE["services"]), set(COMPOSE["secrets"])
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", ())) <= names
        assert set(service.get("secrets", ())) <= secrets
    host = re.search(r"@([a-z-]+)/", NODES["node-1"]["environment"]["MENTORMESH_STORE_URL"])
    assert host is not None
    assert host[1] in names
    for backend in ("node", "alive"):
        text = BALANCER.partition(f"\nbackend {backend}\n")[2].partition("\nbackend ")[0]
        assert re.findall(r"^    server (\S+) (\S+):8440$", text, re.MULTILINE) == [(name, name) for name in NODES]
    folders = [service["volumes"] for service in NODES.values()]
    assert folders[0] != folders[1], "each process has a folder of its own"


def test_the_sample_leaves_sessions_and_time_to_stop() -> None:
    options = " ".join(COMPOSE["services"]["database"]["command"])
    (most,) = re.findall(r"max_connections=(\d+)", options)
    each = StoreSection().sessions + 1 + 1 + spare.SESSIONS
    assert int(most) >= (len(NODES) + 1) * each
    for service in NODES.values():
        assert int(service["stop_grace_period"].removesuffix("s")) > LimitsSection().stop_s


def test_the_balancer_asks_who_is_ready_and_closes_what_is_for_the_machine() -> None:
    paths = {route.path for route in ALL_ROUTES}
    assert re.findall(r"http-check send meth GET uri (\S+)", BALANCER) == ["/ready", "/health"]
    assert {"/ready", "/health"} <= paths
    assert "/operator/" in BALANCER
    assert "/metrics" in BALANCER
    assert "set-header X-Forwarded-For %[src]" in BALANCER


def test_the_page_names_settings_that_exist() -> None:
    names = set(re.findall(r"`\[store\] ([a-z_]+)`", PAGE))
    assert names
    assert names <= {field.name for field in msgspec.structs.fields(StoreSection)}

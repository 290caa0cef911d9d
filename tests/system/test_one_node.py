"""One node as an operator runs it: init, serve, doctor, stop — real processes, real signals."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.system, pytest.mark.slow]

PROGRAM: Final = (sys.executable, "-c", "from cli.main import main; main(prog_name='mentormesh')")
#: What a node must not need in order to start.
LATE: Final = (
    "asyncpg",
    "sqlite_utils",
    "numpy",
    "babel",
    "icalendar",
    "jinja2",
    "aiosmtplib",
    "keyring",
    "hypothesis",
)


def environment(**variables: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("MENTORMESH")}, **variables}


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words],
        check=False,
        capture_output=True,
        text=True,
        env=environment(**variables),
        timeout=PATIENCE_S,
    )


def said(result: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401 -- whatever the command prints
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "aurora"
    words = ("--entity", "https://aurora.example", "--name", "Aurora Freight", "--listen", "127.0.0.1:0")
    said(run("init", "--yes", "--json", "--development", "--dir", str(made), *words))
    return made


@contextmanager
def serving(directory: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Yield the process of a node and its first line, once it is ready."""
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--json", "--dir", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        try:
            yield process, json.loads(line)
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=PATIENCE_S)


def get(url: str, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_a_new_node_serves_and_its_self_check_is_not_red(directory: Path) -> None:
    with serving(directory) as (process, ready):
        assert (ready["event"], ready["name"], ready["entity"]) == ("ready", "aurora", "https://aurora.example")
        assert get(ready["url"], "/ready")[0] == 200
        status = said(run("status", "--json", "--dir", str(directory)))
        assert status["runs"]
        assert {job["job"] for job in status["status"]["jobs"] if job["state"] == "running"} >= {"outbox", "mirror"}
        diagnosis = said(run("doctor", "--json", "--dir", str(directory)))
        assert diagnosis["well"]
        assert [check["detail"] for check in diagnosis["checks"] if check["check"] == "node"] == ["runs and is ready"]
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "ready"
    assert events[-2:] == ["stopping", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_node_though_clients_wait(directory: Path, number: signal.Signals) -> None:
    # As long as a node may ever wait for such clients, which is longer than the test waits for its end.
    patient = {"MENTORMESH_LIMITS_HEADER_S": "120", "MENTORMESH_LIMITS_BODY_S": "300"}
    with serving(directory, **patient) as (process, ready):
        host, port = ready["url"].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as idle, socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /api/v1/sign-in/links HTTP/1.1\r\nHost: aurora.example\r\n")
            slow.sendall(b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            assert get(ready["url"], "/health")[0] == 200
            process.send_signal(number)
            process.communicate(timeout=60)
            assert idle.recv(1) == b""
    assert process.returncode == 0


def test_a_port_in_use_is_one_sentence_that_says_what_to_do(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("serve", "--dir", str(directory), MENTORMESH_NODE_LISTEN=f"127.0.0.1:{port}")
    assert (result.returncode, result.stdout) == (1, "")
    what_to_do = "stop the other program, or choose another port with [node] listen"
    assert result.stderr == f"Error: port {port} on 127.0.0.1 is in use: {what_to_do}.\n"


def test_a_second_node_on_one_directory_is_refused(directory: Path) -> None:
    with serving(directory):
        result = run("serve", "--dir", str(directory))
    assert result.returncode == 3
    assert "another process works on this node directory" in result.stderr


def test_a_killed_node_starts_again_and_commands_work_between(directory: Path) -> None:
    with serving(directory) as (process, _):
        process.kill()
        process.communicate()
    assert not said(run("status", "--json", "--dir", str(directory)))["runs"]
    with serving(directory) as (_, ready):
        assert get(ready["url"], "/health")[0] == 200


def test_a_node_that_cannot_start_says_why_in_one_sentence(directory: Path) -> None:
    (directory / "keys" / "http.key").chmod(0o644)
    result = run("serve", "--dir", str(directory))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "Error: keys/http.key is open to other users: run chmod 600 on it.\n"


def test_a_backup_is_taken_while_the_node_runs(directory: Path, tmp_path: Path) -> None:
    with serving(directory):
        assert said(run("backup", str(tmp_path / "copy.db"), "--json", "--dir", str(directory)))["size_bytes"] > 0
        assert run("restore", str(tmp_path / "copy.db"), "--replace", "--dir", str(directory)).returncode == 3
    restored = said(run("restore", str(tmp_path / "copy.db"), "--replace", "--json", "--dir", str(directory)))
    assert restored["generation"] == 2


def test_the_way_to_serve_imports_nothing_that_it_does_not_need(directory: Path) -> None:
    assert run("status", "--dir", str(directory)).returncode == 0  # makes the database, as a first start would
    code = (
        "import asyncio, json, os, pathlib, signal, sys\n"
        "import cli.main, cli.serve\n"
        "from node.serving import serve\n"
        "def ready(_):\n"
        "    print(json.dumps(sorted(sys.modules))); os.kill(os.getpid(), signal.SIGTERM)\n"
        "asyncio.run(serve(pathlib.Path(sys.argv[1]), {}, announce=ready))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(directory)], check=True, capture_output=True, text=True, timeout=PATIENCE_S
    )
    imported = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert imported & set(LATE) == set()


def test_the_supervisor_is_told_when_the_node_is_ready_and_when_it_stops(directory: Path, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(10)
        with serving(directory, NOTIFY_SOCKET=address) as (process, _):
            assert channel.recv(100) == b"READY=1"
            process.terminate()
            assert channel.recv(100) == b"STOPPING=1"
            process.communicate(timeout=PATIENCE_S)


def certificate(folder: Path, *, days: int) -> None:
    """Write a self-signed certificate for the name of the node, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aurora.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("aurora.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


TLS: Final = {"MENTORMESH_TLS_CERTIFICATE": "tls.pem", "MENTORMESH_TLS_KEY": "tls.key"}


def test_a_node_with_its_own_certificate_speaks_tls_and_commands_reach_it(directory: Path) -> None:
    certificate(directory, days=90)
    with serving(directory, **TLS) as (_, ready):
        assert ready["url"].startswith("https://127.0.0.1:")
        host, port = ready["url"].removeprefix("https://").split(":")
        context = ssl.create_default_context(cafile=str(directory / "tls.pem"))
        with (
            socket.create_connection((host, int(port))) as plain,
            context.wrap_socket(plain, server_hostname="aurora.example") as connection,
        ):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: aurora.example\r\nConnection: close\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert said(run("status", "--json", "--dir", str(directory), **TLS))["runs"]


@pytest.mark.parametrize(("days", "level"), [(60, "green"), (29, "yellow"), (6, "red"), (-1, "red")])
def test_a_certificate_is_warned_of_before_it_ends(directory: Path, days: int, level: str) -> None:
    certificate(directory, days=max(days, 0))
    if days < 0:
        (directory / "tls.key").write_text("not a key")
    result = run("doctor", "--json", "--dir", str(directory), **TLS)
    assert [check["level"] for check in json.loads(result.stdout)["checks"] if check["check"] == "tls"] == [level]


def test_a_client_that_does_not_finish_the_handshake_is_cut_off(directory: Path) -> None:
    certificate(directory, days=90)
    with serving(directory, **TLS, MENTORMESH_LIMITS_HEADER_S="0.2") as (_, ready):
        host, port = ready["url"].removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as silent:
            assert silent.recv(1) == b""


def test_a_certificate_without_its_key_is_one_sentence(directory: Path) -> None:
    certificate(directory, days=90)
    (directory / "tls.key").write_text("not a key")
    result = run("serve", "--dir", str(directory), **TLS)
    assert (result.returncode, result.stdout) == (1, "")
    assert "Error: [tls] certificate and key cannot be read, or do not belong together.\n" in result.stderr

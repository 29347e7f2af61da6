"""The invariant: only a cluster with a certificate that is trusted is spoken to, or all, and that is said."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from backendai import Api, Connection, Reader, connection_from, errors
from backendai.app_proxy import Circuit
from backendai.light import LightApi
from emulator import Emulator
from tests.conftest import ADMIN

SEARCH: dict[str, Any] = {"filter": {"name": {"equals": "chat-1"}}, "limit": 1}


@dataclass
class Front:
    """A server that speaks TLS before the emulated cluster."""

    endpoint: str
    ca_file: Path


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """One that has signed itself: the certificate, and its key."""
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    words += ["-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(words, check=True, capture_output=True)
    return cert, key


def relay(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def served(pair: tuple[Path, Path], manager: str) -> Iterator[Front]:
    """With a certificate and its key."""
    (cert, key), port = pair, int(manager.rsplit(":", 1)[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listening.accept()
                    threading.Thread(target=connection, args=(plain,), daemon=True).start()

        def connection(plain: socket.socket) -> None:
            with (
                contextlib.suppress(OSError),
                plain,
                context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection(("127.0.0.1", port)) as server,
            ):
                back = threading.Thread(target=relay, args=(server, client), daemon=True)
                back.start()
                relay(client, server)
                back.join()

        threading.Thread(target=serve, daemon=True).start()
        yield Front(f"https://127.0.0.1:{listening.getsockname()[1]}", cert)
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """One of this machine, one of another."""
    folder = tmp_path_factory.mktemp("certificates")
    return certificate(folder / "own", "IP:127.0.0.1"), certificate(folder / "other", "DNS:elsewhere.example")


@pytest.fixture
def front(certificates: Any, emulator: Emulator) -> Iterator[Front]:
    with served(certificates[0], emulator.endpoint) as front:
        yield front


async def by_all(connection: Connection) -> None:
    """The ways in which this program asks."""
    assert (await Reader(connection).call("POST", "/v2/sessions/my/search", body=SEARCH))["items"] == []
    for kind in (Api, LightApi):
        async with kind(connection) as api:
            assert (await api.call("POST", "/v2/sessions/my/search", body=SEARCH))["items"] == []


async def refusals(connection: Connection) -> list[str]:
    said = []
    with pytest.raises(errors.Unreachable) as caught:
        await Reader(connection).call("GET", "/")
    said.append(str(caught.value))
    for kind in (Api, LightApi):
        async with kind(connection) as api:
            with pytest.raises(errors.Unreachable) as caught:
                await api.call("GET", "/")
            said.append(str(caught.value))
            assert not caught.value.sent
            with pytest.raises(errors.Unreachable) as caught:
                async with api.websocket("/stream/session/x/tcpproxy", {"app": "8000"}):
                    pass
            said.append(str(caught.value))
    return said


async def test_a_certificate_that_nobody_knows_is_refused(
    front: Front, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKEND_SKIP_SSLCERT_VALIDATION", "yes")  # the SDK's own switch, behind our back
    before = len(emulator.cluster.requests)
    for text in await refusals(Connection(front.endpoint, *ADMIN)):
        assert "The certificate of https://127.0.0.1" in text
        assert "self-signed" in text
        assert "BACKEND_CA_FILE" in text
    assert len(emulator.cluster.requests) == before, "nothing was sent, not even a signature"
    with pytest.raises(errors.AppProxyFault, match=r"The certificate of https://127.*self-signed.*BACKEND_CA_FILE"):
        await Circuit(front.endpoint, "cookie", Connection(front.endpoint, *ADMIN)).check("/")


async def test_it_is_trusted_when_its_authority_is_named(front: Front) -> None:
    connection = Connection(front.endpoint, *ADMIN, ca_file=str(front.ca_file))
    await by_all(connection)
    await Circuit(front.endpoint, "cookie", connection).check("/")


async def test_it_must_be_of_the_host_that_is_asked(certificates: Any, emulator: Emulator) -> None:
    with served(certificates[1], emulator.endpoint) as elsewhere:
        connection = Connection(elsewhere.endpoint, *ADMIN, ca_file=str(elsewhere.ca_file))
        for text in await refusals(connection):
            assert "The certificate of" in text
        await by_all(replace(connection, insecure=True))


def env(front: Front, **more: str) -> dict[str, str]:
    return {"BACKEND_ENDPOINT": front.endpoint, "BACKEND_ACCESS_KEY": ADMIN[0], "BACKEND_SECRET_KEY": ADMIN[1], **more}


def test_the_settings(front: Front, certificates: Any) -> None:
    other = str(certificates[1][0])
    plain = connection_from(environ=env(front))
    assert (plain.ca_file, plain.insecure) == (None, False)
    config = {"cluster.ca_file": other, "cluster.insecure": "False"}.get
    assert connection_from(config, environ=env(front)).ca_file == other
    assert connection_from(config, environ=env(front, BACKEND_CA_FILE=str(front.ca_file))).ca_file == str(front.ca_file)
    for environ, words in (
        ({"BACKEND_CA_FILE": "/nowhere/ca.pem"}, r"/nowhere/ca.pem can't be used \(No such file or directory\)"),
        ({"BACKEND_CA_FILE": __file__}, r"can't be used .* PEM form"),
        ({"BACKEND_INSECURE": "maybe"}, "'maybe'. Write true or false"),
    ):
        with pytest.raises(errors.InvalidConnection, match=words):
            connection_from(environ=env(front, **environ))


def test_switching_it_off_is_said_once_in_each_process(front: Front) -> None:
    program = "from backendai import connection_from as c; assert c().insecure; c()"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=env(front, BACKEND_INSECURE="true"), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stderr.count("warning: insecure is set: nobody verifies that it is https://127.0.0.1") == 1

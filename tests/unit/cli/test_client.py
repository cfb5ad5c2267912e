"""The client trusts the kubeconfig's authority alone, sends its token, and turns Status into errors."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubechain.cli.changes import LISTING, Deadline, changes
from kubechain.cli.client import Client, connect
from kubechain.cli.exits import CommandError, NotRunning
from kubechain.cli.kubeconfig import Target, load
from kubechain.cluster import blocks
from kubechain.cluster.contexts import parse
from kubechain.errors import ApiError, NotFound
from tests.unit.cli.recorded import (
    ROOT,
    RecordedApi,
    kubechain,
    listed,
    serving,
    status,
    taskrun,
    write_kubeconfig,
)


def self_signed(folder: Path) -> Path:
    """A file with a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return file


def test_a_server_with_the_kubeconfigs_authority_gets_the_token(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with serving(context) as api:
        authority = base64.b64encode(pem.read_bytes().split(b"-----BEGIN PRIVATE")[0]).decode()
        file = write_kubeconfig(tmp_path / "k", api.url, **{"certificate-authority-data": authority})
        api.tell("GET /version", {"major": "1"})
        client = connect(str(file))
        assert client.get("/version") == {"major": "1"}
        client.close()
        assert api.requests[-1].headers["Authorization"] == "Bearer the-token"


def test_a_server_of_another_authority_is_refused_before_the_token_is_sent(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with serving(context) as api:
        client = connect(str(write_kubeconfig(tmp_path / "k", api.url)))
        with pytest.raises(NotRunning, match=r"(?i)certificate.verify.failed"):
            client.get("/version")
        assert api.requests == []


def test_a_kubeconfig_in_yaml_says_the_same_as_one_in_json(tmp_path: Path) -> None:
    written = write_kubeconfig(tmp_path / "k", "https://h:1")
    in_yaml = tmp_path / "y"
    in_yaml.write_text(yaml.safe_dump(yaml.safe_load(written.read_text())))
    assert load(in_yaml) == load(written) == Target(server="https://h:1", token="the-token")


@pytest.mark.parametrize("flow", [False, None])
def test_a_plain_kubeconfig_is_read_without_a_yaml_library_and_says_the_same(
    tmp_path: Path, flow: bool | None
) -> None:
    config = yaml.safe_load(write_kubeconfig(tmp_path / "k", "https://h:1", extra={}).read_text())
    text = yaml.safe_dump(config, default_flow_style=flow)
    assert parse(text) == config
    assert (blocks.parse(text) is None) == (flow is None)


@pytest.mark.parametrize(
    "text", ["a: |\n  x", "a: 'x'", "a:\n- 1", "a: &x b", "a: null", "a: b\n   c: d", "a: -", "- a: b"]
)
def test_what_is_not_plain_is_left_to_the_yaml_library(text: str) -> None:
    assert blocks.parse(text) is None


def test_a_token_is_not_in_the_repr() -> None:
    assert "abc" not in repr(Target(server="https://h", token="abc"))


def test_without_a_kubeconfig_the_next_move_is_named_and_the_exit_code_is_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert kubechain("get", "llm") == 3
    assert f"{tmp_path}/kubechain/kubeconfig: start KubeChain with `kubechain up`" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_kubeconfig(tmp_path / "k", "http://127.0.0.1:9")
    assert kubechain("get", "llm", "--kubeconfig", str(file)) == 3
    assert "no answer from http://127.0.0.1:9 (Connection refused)" in capsys.readouterr().err


def test_a_certificate_that_is_none_is_told_in_a_sentence() -> None:
    client = Client(Target("https://127.0.0.1:1", authority="garbage"))
    with pytest.raises(
        CommandError, match=r"^the certificates for https://127.0.0.1:1 cannot be used .*kubeconfig$"
    ):
        client.get("/version")


def test_a_credential_plugin_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "k"
    file.write_text(
        "current-context: x\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://h'}}]\n"
        "users: [{name: u, user: {exec: {command: gke}}}]\n"
    )
    with pytest.raises(CommandError, match="plugin"):
        load(file)


def test_a_status_becomes_the_error_of_its_reason_with_its_causes(api: RecordedApi) -> None:
    causes: list[object] = [{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.agent"}]
    said = status(422, "Invalid", "bad", {"name": "t", "kind": "Task", "causes": causes})  # type: ignore[dict-item]
    api.tell("GET /x", said, status=422)
    client = Client(Target(server=api.url))
    with pytest.raises(ApiError) as caught:
        client.get("/x")
    with pytest.raises(NotFound):
        client.get(f"{ROOT}/llms/nope")
    client.close()
    assert (caught.value.reason, caught.value.details.causes[0].field) == ("Invalid", "spec.agent")


def test_changes_start_over_with_a_list_when_the_version_has_expired(api: RecordedApi) -> None:
    path = f"{ROOT}/taskruns"
    expired = status(410, "Expired", "too old resource version: 7 (9)")
    api.tell(f"GET {path}", listed(taskrun("Pending"), version="7"), listed(taskrun("Running"), version="9"))
    api.tell_events(path, {"type": "ERROR", "object": expired})
    done = threading.Event()
    api.tell_events(path, {"type": "MODIFIED", "object": taskrun("FinalAnswer")}, hold=done)
    client = Client(Target(server=api.url))
    seen = changes(client, path)
    phases = [(e.type, e.object.get("status")) for e in (next(seen) for _ in range(7)) if e.type != LISTING]
    seen.close()
    client.close()
    done.set()
    assert phases == [
        ("ADDED", {"phase": "Pending"}),
        ("SYNCED", None),
        ("ADDED", {"phase": "Running"}),
        ("SYNCED", None),
        ("MODIFIED", {"phase": "FinalAnswer"}),
    ]


def test_a_server_that_goes_away_in_the_middle_is_waited_for_only_for_a_while(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = f"{ROOT}/taskruns"
    with serving() as api:
        api.tell(f"GET {path}", listed(taskrun()))
        api.tell_events(path)
        client = Client(Target(server=api.url))
        seen = changes(client, path, patience=0.3)
        first = [next(seen).type for _ in range(3)]
    with pytest.raises(NotRunning):
        next(seen)
    client.close()
    assert first == ["LISTING", "ADDED", "SYNCED"]
    assert "Waiting up to 0s for it to come back" in capsys.readouterr().err
    with pytest.raises(NotRunning):
        next(changes(client, path))


def test_a_silent_watch_ends_at_the_deadline(api: RecordedApi) -> None:
    path, done = f"{ROOT}/taskruns", threading.Event()
    api.tell(f"GET {path}", listed())
    api.tell_events(path, hold=done)
    client = Client(Target(server=api.url))
    with pytest.raises(TimeoutError):
        list(changes(client, path, deadline=Deadline(0.2)))
    client.close()
    done.set()

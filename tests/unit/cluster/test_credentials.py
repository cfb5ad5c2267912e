"""Credentials that change: token files and plugins."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kubechain.cluster.credentials import REREAD_SECONDS, Identity, Plugin, PluginSettings, TokenFile
from kubechain.errors import Unauthorized
from kubechain.resources.model import timestamp

START = datetime(2026, 1, 1, tzinfo=UTC)


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)


async def test_a_token_file_is_read_again_after_a_while_and_at_once_when_its_token_is_refused(
    tmp_path: Path,
) -> None:
    time, path = Time(), tmp_path / "token"
    path.write_text("one\n")
    credentials = TokenFile(path, Identity("", "cert", "key"), time.monotonic)
    assert await credentials.identity() == Identity("one", "cert", "key")
    path.write_text("two")
    assert (await credentials.identity()).token == "one"
    time.passed += REREAD_SECONDS
    assert (await credentials.identity()).token == "two"
    path.write_text("three")
    credentials.refused()
    assert (await credentials.identity()).token == "three"


async def test_a_token_file_that_went_away_is_an_answer_to_retry(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match="absent cannot be read"):
        await TokenFile(tmp_path / "absent").identity()


def plugin(tmp_path: Path, time: Time, script: str) -> Plugin:
    path = tmp_path / "plugin"
    path.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\n{script}\n")
    path.chmod(0o700)
    settings = PluginSettings(str(path), ("a", "b"), (("EXTRA", "given"),), cluster={"server": "https://s"})
    return Plugin(settings, Identity(), time.now)


def credential(**status: str) -> str:
    return json.dumps(
        {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    )


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


async def test_a_plugin_is_asked_again_only_when_its_credential_ends_or_is_refused(tmp_path: Path) -> None:
    time = Time()
    told = credential(token="t", expirationTimestamp=timestamp(START + timedelta(minutes=10)))
    asked = plugin(tmp_path, time, f"echo '{told}'")
    assert (await asked.identity()).token == "t"
    time.passed = 500
    await asked.identity()
    assert runs(tmp_path) == 1
    time.passed = 580
    await asked.identity()
    assert runs(tmp_path) == 2
    asked.refused()
    await asked.identity()
    assert runs(tmp_path) == 3


async def test_a_plugin_is_told_of_the_cluster_and_may_give_a_certificate(tmp_path: Path) -> None:
    told = credential(token="t", clientCertificateData="CERT", clientKeyData="KEY")
    script = f"echo \"$1 $2 $EXTRA $KUBERNETES_EXEC_INFO\" > {tmp_path}/seen; echo '{told}'"
    assert await plugin(tmp_path, Time(), script).identity() == Identity("t", "CERT", "KEY")
    seen = (tmp_path / "seen").read_text()
    assert seen.startswith("a b given ")
    info = json.loads(seen.removeprefix("a b given "))
    assert info["spec"] == {"interactive": False, "cluster": {"server": "https://s"}}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo sk-secret; exit 3", "ended with exit code 3"),
        ("echo sk-secret", "printed no ExecCredential"),
        (f"echo '{credential(token='sk-secret', expirationTimestamp='soon')}'", "printed no ExecCredential"),
    ],
)
async def test_a_plugin_that_fails_is_named_and_what_it_printed_is_not(
    tmp_path: Path, script: str, told: str
) -> None:
    with pytest.raises(Unauthorized, match=told) as caught:
        await plugin(tmp_path, Time(), script).identity()
    assert "sk-secret" not in str(caught.value)


async def test_a_plugin_that_is_not_there_comes_with_its_hint(tmp_path: Path) -> None:
    settings = PluginSettings(str(tmp_path / "absent"), install_hint="install it from example.com")
    with pytest.raises(Unauthorized, match=r"cannot be run .*install it from example\.com"):
        await Plugin(settings, Identity(), Time().now).identity()

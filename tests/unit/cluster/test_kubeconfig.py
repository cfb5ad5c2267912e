"""kubeconfig files as people have them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kubechain.cluster.credentials import Identity
from kubechain.cluster.kubeconfig import load
from kubechain.cluster.target import ClusterSettings, Target, located, of_service_account
from kubechain.errors import SettingsError
from kubechain.runtime.clock import now

CONFIG = """
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: near
  cluster: {server: "https://near:6443/", certificate-authority: ca.crt}
- name: far
  cluster: {server: "https://far", insecure-skip-tls-verify: true, tls-server-name: far.example}
users:
- name: digits
  user: {token: 0123456789}
- name: file
  user: {tokenFile: token, as: boss, as-groups: [g1, g2]}
- name: certificate
  user: {client-certificate-data: CERT, client-key: key.pem}
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: ./say
      args: null
      env: null
      provideClusterInfo: false
- name: old
  user: {auth-provider: {name: gcp}}
contexts:
- {name: one, context: {cluster: near, user: digits}}
- {name: two, context: {cluster: far, user: file, namespace: team}}
- {name: three, context: {cluster: near, user: certificate}}
- {name: four, context: {cluster: near, user: plugin}}
- {name: five, context: {cluster: near, user: old}}
- {name: six, context: {cluster: nowhere, user: digits}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_text("THE CA")
    (tmp_path / "key.pem").write_text("THE KEY")
    (tmp_path / "token").write_text("from-file\n")
    path = tmp_path / "config"
    path.write_text(CONFIG.replace("CERT", base64.b64encode(b"THE CERT").decode()))
    return path


def loaded(config: Path, context: str = "") -> Target:
    return load([config], context, now)


async def test_the_current_context_names_server_authority_and_a_token_of_digits(config: Path) -> None:
    target = loaded(config)
    assert (target.server, target.authority, target.namespace, target.verify) == (
        "https://near:6443", "THE CA", "default", True,
    )  # fmt: skip
    assert await target.credentials.identity() == Identity(token="0123456789")


async def test_another_context_has_its_own_namespace_token_file_and_impersonation(config: Path) -> None:
    target = loaded(config, "two")
    assert (target.namespace, target.verify, target.server_name) == ("team", False, "far.example")
    assert (await target.credentials.identity()).token == "from-file"
    assert target.impersonate == (
        ("Impersonate-User", "boss"), ("Impersonate-Group", "g1"), ("Impersonate-Group", "g2"),
    )  # fmt: skip


async def test_a_client_certificate_comes_inline_or_from_a_file_beside(config: Path) -> None:
    assert await loaded(config, "three").credentials.identity() == Identity("", "THE CERT", "THE KEY")


async def test_a_plugin_named_by_a_relative_path_lies_beside_its_kubeconfig(config: Path) -> None:
    plugin = config.parent / "say"
    plugin.write_text('#!/bin/sh\necho \'{"status":{"token":"from-plugin"}}\'\n')
    plugin.chmod(0o700)
    assert (await loaded(config, "four").credentials.identity()).token == "from-plugin"


async def test_of_two_files_the_first_that_has_an_entry_counts(config: Path, tmp_path: Path) -> None:
    first = tmp_path / "other" / "config"
    first.parent.mkdir()
    first.write_text("current-context: one\nusers: [{name: digits, user: {token: mine}}]\n")
    target = load([tmp_path / "missing", first, config], "", now)
    assert (target.server, (await target.credentials.identity()).token) == ("https://near:6443", "mine")


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ("nope", "no context named 'nope'"),
        ("six", "no cluster named 'nowhere'"),
        ("five", "auth-provider is not supported"),
    ],
)
def test_what_cannot_be_used_is_named(config: Path, context: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        loaded(config, context)
    assert str(config) in str(caught.value)


def test_a_missing_and_a_broken_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no kubeconfig at .*absent"):
        load([tmp_path / "absent"], "", now)
    (tmp_path / "broken").write_text("clusters: {")
    with pytest.raises(SettingsError, match="broken cannot be read"):
        load([tmp_path / "broken"], "", now)


def test_a_token_never_shows(config: Path) -> None:
    target = loaded(config)
    assert "0123456789" not in repr(target)
    assert "secret" not in repr(Identity("secret", "secret", "secret"))


def test_a_flag_goes_before_the_environment_and_that_before_the_pod() -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert located(ClusterSettings(Path("/a")), {"KUBECONFIG": "/b"}) == [Path("/a")]
    assert located(ClusterSettings(), {"KUBECONFIG": "/b:/c", **pod}) == [Path("/b"), Path("/c")]
    assert located(ClusterSettings(), pod) == []
    assert located(ClusterSettings(), {}) == [Path("~/.kube/config").expanduser()]


async def test_a_pod_is_its_service_account(tmp_path: Path) -> None:
    for name, text in (("ca.crt", "THE CA"), ("namespace", "team\n"), ("token", "pod-token")):
        (tmp_path / name).write_text(text)
    target = of_service_account(
        {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, tmp_path
    )
    assert (target.server, target.authority, target.namespace) == ("https://[fd00::1]:6443", "THE CA", "team")
    assert (await target.credentials.identity()).token == "pod-token"
    with pytest.raises(SettingsError, match="service account cannot be read"):
        of_service_account({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path / "none")

"""kubeconfigs as they are written: the same for commands and controllers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubechain.cli import kubeconfig as commands
from kubechain.cluster import kubeconfig as controllers
from kubechain.cluster.contexts import chosen
from kubechain.errors import SettingsError
from kubechain.runtime.clock import now

CONFIG = {
    "current-context": "one",
    "clusters": [{"name": "c", "cluster": {"server": "https://h:1/", "insecure-skip-tls-verify": True}}],
    "users": [{"name": "u", "user": {"tokenFile": "token", "exec": None, "client-key": ""}}],
    "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
}
PLAIN = """current-context: one
clusters:
- name: c
  cluster:
    server: https://h:1/
    insecure-skip-tls-verify: true
users:
- name: u
  user:
    tokenFile: token
contexts:
- name: one
  context:
    cluster: c
    user: u
    namespace: team
"""


@pytest.mark.parametrize(
    "document", [json.dumps(CONFIG), PLAIN, PLAIN + "extensions: !!str ~\n", "# no\n" + PLAIN]
)
async def test_a_command_and_a_controller_read_the_same(tmp_path: Path, document: str) -> None:
    (tmp_path / "token").write_text("from-file\n")
    path = tmp_path / "config"
    path.write_text(document)
    command, controller = commands.load(path), controllers.load([path], "", now)
    assert (command.server, command.namespace, command.verify) == ("https://h:1", "team", False)
    assert (controller.server, controller.namespace, controller.verify) == ("https://h:1", "team", False)
    assert command.token == (await controller.credentials.identity()).token == "from-file"


@pytest.mark.parametrize(
    "document",
    ["[1]", "a: &a [*a]", "{", "[" * 5000, "a: " + "[" * 5000, '{"clusters": 5, "current-context": "x"}'],
)
def test_what_is_no_kubeconfig_is_named(tmp_path: Path, document: str) -> None:
    path = tmp_path / "config"
    path.write_text(document)
    with pytest.raises(SettingsError, match=str(path)):
        chosen([path])


def test_credentials_are_not_in_the_repr(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(PLAIN.replace("tokenFile: token", "token: secret-token"))
    found = chosen([path])
    assert found.user.text("token") == "secret-token"
    assert "secret-token" not in repr(found) + repr(found.user)

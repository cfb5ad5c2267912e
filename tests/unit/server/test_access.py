"""Rules of roles, tokens of service accounts, TLS files and the kubeconfig."""

from __future__ import annotations

import base64
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from kubechain.errors import Unauthorized
from kubechain.server import access, accounts, tls
from kubechain.server.roles import PolicyRule, Request
from kubechain.server.settings import ADMIN, ServerSettings, User

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "request_", "allowed"),
    [
        (PolicyRule(["get"], [""], ["secrets"]), Request("get", "", "secrets"), True),
        (PolicyRule(["get"], [""], ["secrets"]), Request("list", "", "secrets"), False),
        (PolicyRule(["*"], ["*"], ["*"]), Request("patch", "g", "agents", "status"), True),
        (PolicyRule(["get"], ["g"], ["agents"]), Request("get", "g", "agents", "status"), False),
        (PolicyRule(["get"], ["g"], ["agents/status"]), Request("get", "g", "agents", "status"), True),
        (PolicyRule(["get"], ["g"], ["*/status"]), Request("get", "g", "agents", "status"), True),
        (PolicyRule(["get"], [""], ["secrets"], ["a"]), Request("get", "", "secrets", name="b"), False),
        (PolicyRule(["get"], [""], ["secrets"], ["a"]), Request("get", "", "secrets", name="a"), True),
        (PolicyRule(["get"], non_resource_urls=["/api/*"]), Request("get", path="/api/v1"), True),
        (PolicyRule(["*"], ["*"], ["*"]), Request("get", path="/api/v1"), False),
    ],
)
def test_a_rule_allows_what_it_names(rule: PolicyRule, request_: Request, allowed: bool) -> None:
    assert rule.allows(request_) is allowed


def test_a_refusal_reads_as_that_of_a_real_server() -> None:
    request = Request("get", "kubechain.dev", "agents", "", "default", "a1")
    assert access.refusal(User("nobody"), request).message == (
        'agents.kubechain.dev "a1" is forbidden: User "nobody" cannot get resource "agents" in API group '
        '"kubechain.dev" in the namespace "default"'
    )
    assert access.refusal(User("nobody"), Request("list", "", "namespaces")).message.endswith(
        "at the cluster scope"
    )


def test_a_token_of_an_account_is_good_under_its_own_key_only() -> None:
    bound = accounts.Bound("default", accounts.Ref("bot", "u"), accounts.Ref("life", "v"))
    claims = accounts.Claims("system:serviceaccount:default:bot", 100, 50, ["x"], bound, "one", 50)
    token = accounts.sign(claims, b"key")
    assert accounts.verify(token, b"key") == claims
    assert accounts.verify(token, b"other") is None
    assert accounts.verify(token[:-2] + "AA", b"key") is None
    assert accounts.verify("a.b.c", b"key") is None


def test_the_claims_of_a_token_are_those_of_kubernetes() -> None:
    bound = accounts.Bound("default", accounts.Ref("bot", "u"))
    token = accounts.sign(accounts.Claims("s", 100, 50, ["x"], bound, "one", 50), b"key")
    _, body, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(body + "===")) == {
        "sub": "s", "exp": 100, "iat": 50, "nbf": 50, "aud": ["x"], "jti": "one", "iss": accounts.ISSUER,
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "bot", "uid": "u"}},
    }  # fmt: skip


def test_a_token_is_for_the_audiences_that_it_names() -> None:
    claims = accounts.Claims("s", 100, 50, ["vault", "b"])
    assert accounts.audiences(claims, ["x", "vault"]) == ["vault"]
    with pytest.raises(
        Unauthorized, match=r'token audiences \["vault" "b"\] is invalid for the target audiences \["x"\]'
    ):
        accounts.audiences(claims, ["x"])


def test_settings_print_no_token() -> None:
    assert "s3cret" not in repr(ServerSettings(lambda: NOW, tokens={"s3cret": ADMIN}, signing_key=b"s3cret"))


def test_tls_files_are_private_and_the_authority_stays(tmp_path: Path) -> None:
    first = tls.ensure(tmp_path / "tls", lambda: NOW)
    again = tls.ensure(tmp_path / "tls", lambda: NOW + timedelta(days=1))
    assert first.ca_pem == again.ca_pem
    assert first.certificate.read_bytes() == again.certificate.read_bytes()
    assert {f.stat().st_mode & 0o777 for f in (tmp_path / "tls").iterdir()} == {0o600}
    ssl.create_default_context(cadata=first.ca_pem)


def test_a_certificate_is_renewed_before_it_ends_or_for_a_new_host(tmp_path: Path) -> None:
    first = tls.ensure(tmp_path, lambda: NOW)
    before = first.certificate.read_bytes()
    assert tls.ensure(tmp_path, lambda: NOW + timedelta(days=340)).certificate.read_bytes() != before
    before = first.certificate.read_bytes()
    assert tls.ensure(tmp_path, lambda: NOW + timedelta(days=340), ("box.local",)).ca_pem == first.ca_pem
    assert first.certificate.read_bytes() != before


def test_a_kubeconfig_has_one_context_with_authority_and_token() -> None:
    config = yaml.safe_load(tls.kubeconfig("https://127.0.0.1:7", "PEM", "t0ken", "team"))
    assert config["users"][0]["user"] == {"token": "t0ken"}
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:7"
    assert config["contexts"][0]["context"]["namespace"] == "team"
    assert config["current-context"] == "kubechain"

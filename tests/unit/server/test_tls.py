"""The certificate of the embedded server is made where it is missing, kept while it is good, renewed in time."""

from __future__ import annotations

import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kubechain.server.tls import ensure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(days: int) -> datetime:
    return NOW + timedelta(days=days)


def test_a_good_certificate_is_kept_and_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ensure(tmp_path, lambda: NOW).certificate.read_bytes()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert ensure(tmp_path, lambda: at(300)).certificate.read_bytes() == made


def test_one_that_ends_soon_is_made_anew_under_the_same_authority(tmp_path: Path) -> None:
    before = ensure(tmp_path, lambda: NOW)
    made = before.certificate.read_bytes()
    after = ensure(tmp_path, lambda: at(340))
    assert after.certificate.read_bytes() != made
    assert after.ca_pem == before.ca_pem
    kept = after.certificate.read_bytes()
    assert ensure(tmp_path, lambda: at(600)).certificate.read_bytes() == kept


def test_another_host_a_missing_key_and_a_foreign_authority_each_lead_to_a_new_one(tmp_path: Path) -> None:
    first = ensure(tmp_path / "one", lambda: NOW)
    foreign = ensure(tmp_path / "two", lambda: NOW)
    made = [first.certificate.read_bytes()]
    made.append(ensure(tmp_path / "one", lambda: NOW, ("kubechain.example",)).certificate.read_bytes())
    first.private_key.unlink()
    made.append(ensure(tmp_path / "one", lambda: NOW, ("kubechain.example",)).certificate.read_bytes())
    for name in ("ca.crt", "ca.key"):
        (tmp_path / "one" / name).write_bytes((tmp_path / "two" / name).read_bytes())
    last = ensure(tmp_path / "one", lambda: NOW, ("kubechain.example",))
    made.append(last.certificate.read_bytes())
    assert len(set(made)) == 4
    assert last.ca_pem == foreign.ca_pem


def test_a_note_that_says_nothing_is_no_reason_to_fail(tmp_path: Path) -> None:
    files = ensure(tmp_path, lambda: NOW)
    made = files.certificate.read_bytes()
    (tmp_path / "server.good").write_text("nonsense")
    assert ensure(tmp_path, lambda: NOW).certificate.read_bytes() == made
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.private_key)

"""A certificate authority of the instance, a server certificate, and a kubeconfig that trusts them.

Called by the composition root before the server starts. Keys lie in files of mode 0600; the authority is kept
across restarts, so that kubeconfigs stay good. Never overwrites an authority.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kubechain.resources.model import Clock

_HOSTS = ("localhost", "127.0.0.1", "::1")
_CA_LIFE = timedelta(days=3650)
_SERVER_LIFE = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate and key of the server lie, and the authority that clients must trust."""

    certificate: Path
    private_key: Path
    ca_pem: str = field(repr=False)


def ensure(directory: Path, clock: Clock, hosts: tuple[str, ...] = ()) -> TlsFiles:
    """The TLS files of a directory, made where they are missing; `hosts` are further names and addresses.

    The server certificate is replaced when it expires within 30 days or does not name every host.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = {name: directory / name for name in ("ca.crt", "ca.key", "server.crt", "server.key")}
    if not (files["ca.crt"].exists() and files["ca.key"].exists()):
        certificate, key = _authority(clock())
        write_private(files["ca.key"], key)
        write_private(files["ca.crt"], certificate)
    wanted = tuple(dict.fromkeys((*_HOSTS, *hosts)))
    parts, note = (files["ca.crt"], files["server.crt"], files["server.key"]), directory / "server.good"
    if not _noted(note, parts, wanted, clock()):
        until = _good_until(files["server.crt"], files["server.key"], files["ca.crt"], wanted)
        if until <= clock() + _RENEW_BEFORE:
            certificate, key = _server(files["ca.crt"].read_bytes(), files["ca.key"].read_bytes(), wanted, clock())
            write_private(files["server.key"], key)
            write_private(files["server.crt"], certificate)
            until = clock() + _SERVER_LIFE
        write_private(note, f"{_digest(parts, wanted)} {until.isoformat()}".encode())
    return TlsFiles(files["server.crt"], files["server.key"], files["ca.crt"].read_text())


def _noted(note: Path, parts: tuple[Path, ...], hosts: tuple[str, ...], now: datetime) -> bool:
    """Whether these very files were found good before: decoding them takes a tenth of a start."""
    try:
        digest, until = note.read_text().split()
        return digest == _digest(parts, hosts) and datetime.fromisoformat(until) > now + _RENEW_BEFORE
    except (OSError, ValueError):
        return False


def _digest(parts: tuple[Path, ...], hosts: tuple[str, ...]) -> str:
    contents = [part.read_bytes() for part in parts]
    return hashlib.sha256(b"\0".join([*contents, *(host.encode() for host in hosts)])).hexdigest()


def kubeconfig(url: str, ca_pem: str, token: str, namespace: str = "default") -> str:
    """A kubeconfig with one context that reaches `url` with the token."""
    authority = base64.b64encode(ca_pem.encode()).decode()
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: kubechain
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: kubechain
  user:
    token: {json.dumps(token)}
contexts:
- name: kubechain
  context:
    cluster: kubechain
    user: kubechain
    namespace: {json.dumps(namespace)}
current-context: kubechain
"""


def write_private(path: Path, content: bytes) -> None:
    """Put a file in place that only its owner can read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)


def _authority(now: datetime) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubechain-ca")])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate), _key_pem(key)


def _server(ca_pem: bytes, ca_key_pem: bytes, hosts: tuple[str, ...], now: datetime) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    ca = x509.load_pem_x509_certificate(ca_pem)
    ca_key = serialization.load_pem_private_key(ca_key_pem, None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError("ca.key is no elliptic curve key: remove ca.crt and ca.key, then start again")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubechain")])
    names: list[x509.GeneralName] = []
    for host in hosts:
        names.append(x509.IPAddress(ipaddress.ip_address(host)) if _is_address(host) else x509.DNSName(host))
    certificate = (
        x509.CertificateBuilder(ca.subject, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _SERVER_LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _pem(certificate), _key_pem(key)


def _good_until(certificate: Path, key: Path, ca: Path, hosts: tuple[str, ...]) -> datetime:
    """When the certificate ends; long ago where there is none, or none of this authority for these hosts."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    if not (certificate.exists() and key.exists()):
        return _NEVER
    held = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        held.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.read_bytes()))
    except (ValueError, TypeError, InvalidSignature):
        return _NEVER
    names = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    covered = {str(n) for n in names.get_values_for_type(x509.DNSName)}
    covered |= {str(n) for n in names.get_values_for_type(x509.IPAddress)}
    return held.not_valid_after_utc if covered >= set(hosts) else _NEVER


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _pem(certificate: object) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    if not isinstance(certificate, x509.Certificate):
        raise TypeError("not a certificate")
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: object) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an elliptic curve key")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

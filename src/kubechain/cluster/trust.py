"""TLS to an API server, as a kubeconfig describes it.

Called by `http` and by the commands' own small client: standard library only, so that a command starts fast.
"""

from __future__ import annotations

import ssl
from tempfile import NamedTemporaryFile


def context(authority: str, certificate: str, key: str, *, verify: bool = True) -> ssl.SSLContext:
    """A TLS context that trusts only that authority ("": those of the system) and shows the certificate, if any.

    All three are PEM. Raises ssl.SSLError.
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    elif authority:
        tls.load_verify_locations(cadata=authority)
    else:
        tls.load_default_certs()
    if certificate:
        with NamedTemporaryFile("w") as pem:  # the standard library loads client certificates from files only
            pem.write(f"{certificate}\n{key}\n")
            pem.flush()
            tls.load_cert_chain(pem.name)
    return tls

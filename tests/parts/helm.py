"""Helm, built from its Go module: what users of our chart have.

Tests of deploy/ call it. By hand: `python -m tests.parts.helm` builds it, once, in about two minutes. It never
asks a chart repository and never touches a cluster by itself.
"""

import os
from pathlib import Path

from tests.parts.cache import PartMissing, announce
from tests.parts.golang import build, built

SOURCE = Path(__file__).parent / "helm"
PACKAGE = "helm.sh/helm/v4/cmd/helm"
STAMP = {"helm.sh/helm/v4/internal/version.version": "v4.3.1"}


def binary() -> Path:
    """The program: $KUBECHAIN_HELM, else built once into the cache."""
    return supplied() or build(SOURCE, STAMP, PACKAGE)


def installed() -> Path:
    """The same program, but never built: PartMissing where it is not there yet."""
    program = supplied() or built(SOURCE, STAMP)
    if program is None:
        raise PartMissing("no Helm here: `python -m tests.parts.helm` builds it once, in two minutes")
    return program


def supplied() -> Path | None:
    """The program that the environment names, if it names one."""
    own = os.environ.get("KUBECHAIN_HELM")
    if own and not Path(own).is_file():
        raise PartMissing(f"KUBECHAIN_HELM={own} is no file: unset it, and the program is built with Go")
    return Path(own) if own else None


if __name__ == "__main__":
    announce(f"helm: {binary()}")

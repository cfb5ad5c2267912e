"""kube-router, built from its Go module: it enforces the NetworkPolicies on the node of tests/parts/machine.py.

By hand: `python -m tests.parts.kuberouter` builds it, once, in two minutes.
"""

from pathlib import Path

from tests.parts.cache import PartMissing, announce
from tests.parts.golang import build, built

SOURCE = Path(__file__).parent / "kuberouter"
PACKAGE = "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"


def binary() -> Path:
    """The program, built once into the cache."""
    return build(SOURCE, {}, PACKAGE)


def installed() -> Path:
    """The same program, but never built: PartMissing where it is not there yet."""
    program = built(SOURCE, {})
    if program is None:
        raise PartMissing("no kube-router here: `python -m tests.parts.kuberouter` builds it once, in two minutes")
    return program


if __name__ == "__main__":
    announce(f"kube-router: {binary()}")

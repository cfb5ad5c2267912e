"""Quantities, as Kubernetes reads them."""

import re

import pytest

from kubechain.resources.quantity import CPU_PATTERN, MEMORY_PATTERN, cores, size


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("64Mi", 64 << 20), ("1G", 10**9), ("1.5Gi", 3 << 29), ("1000", 1000), ("2k", 2000), ("0.5Ki", 512)],
)
def test_memory(text: str, bytes_: int) -> None:
    assert re.match(MEMORY_PATTERN, text) and size(text) == bytes_


@pytest.mark.parametrize(("text", "cpus"), [("500m", 0.5), ("2", 2.0), ("1.25", 1.25), ("50m", 0.05)])
def test_cpu(text: str, cpus: float) -> None:
    assert re.match(CPU_PATTERN, text) and cores(text) == cpus


@pytest.mark.parametrize("text", ["", "1m", "Mi", "1MiB", "-1", "1e3"])
def test_what_is_no_quantity_of_memory_is_refused(text: str) -> None:
    assert not re.match(MEMORY_PATTERN, text)

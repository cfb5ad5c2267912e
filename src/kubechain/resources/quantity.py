"""Quantities as Kubernetes writes them: `500m` and `2` of CPU, `256Mi` and `1G` of memory."""

from __future__ import annotations

import re
from decimal import Decimal

CPU_PATTERN = r"^([0-9]+(\.[0-9]{1,3})?|[0-9]+m)$"
MEMORY_PATTERN = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"
_PARTS = re.compile(r"([0-9.]+)([A-Za-z]*)")
_UNITS = {
    "": 1,
    "k": 1000,
    "M": 1000**2,
    "G": 1000**3,
    "T": 1000**4,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}


def cores(text: str) -> float:
    """CPUs in a quantity that matches CPU_PATTERN."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def size(text: str) -> int:
    """Bytes in a quantity that matches MEMORY_PATTERN."""
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text} is no quantity of memory; write it as in 256Mi")
    return int(Decimal(match[1]) * _UNITS[match[2]])

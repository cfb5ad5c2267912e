"""What is imported before it is needed: starting costs time and memory that everybody pays."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("mcp", "pydantic_ai", "anthropic", "openai", "cryptography", "prometheus_client")


@pytest.mark.parametrize(
    "module",
    ["kubechain.app.embedded", "kubechain.cli.main", "kubechain.providers.tools.function.function_server"],
)
def test_importing_the_program_imports_no_mcp_and_no_model_library(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_a_start_waits_for_nothing_that_the_first_model_call_a_cluster_or_yaml_needs() -> None:
    unwanted = (
        "structlog",
        "aiohttp",
        "rich",
        "attr",
        "multipart",
        "cryptography",
        "pydantic",
        "yaml",
        "kubechain.cluster",
    )
    code = (
        "import sys; from kubechain.cli.importing import lightly\n"
        "with lightly(): import kubechain.app.embedded, kubechain.cli.serve\n"
        f"print(*(m for m in {unwanted!r} if m in sys.modules))\n"
        "from kubechain.logs import Logger\n"
        "Logger('a').warning('still writes', exc_info=ValueError('text'))\n"
        "import python_multipart, rich"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    first, *log = done.stdout.splitlines()
    assert first == ""
    assert "ValueError: text" in log[-1]


def test_a_command_of_the_command_line_imports_neither_the_program_nor_an_http_library() -> None:
    unwanted = (
        "aiohttp",
        "starlette",
        "uvicorn",
        "uvloop",
        "yaml",
        "rich",
        "kubechain.app.embedded",
        "kubechain.controllers",
    )
    code = f"import sys, kubechain.cli.get; print(*(m for m in {unwanted!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_plain_data_is_a_struct_but_where_a_field_is_hidden_or_a_command_must_start_at_once() -> None:
    """Making a dataclass takes half a millisecond of every start, a Struct a hundredth of that."""
    code = (
        "import sys, dataclasses, kubechain.app.embedded, kubechain.cli.serve\n"
        "for name, module in list(sys.modules.items()):\n"
        "    for c in vars(module).values() if name.startswith('kubechain.') else ():\n"
        "        if isinstance(c, type) and c.__module__ == name and dataclasses.is_dataclass(c):\n"
        "            if all(f.repr for f in dataclasses.fields(c)): print(name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert {name for name in done.stdout.split() if not name.startswith("kubechain.cli.")} == {"kubechain.errors"}

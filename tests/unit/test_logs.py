"""Log lines: which of them are written, and in which form."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SAY = """
import logging, sys
from kubechain import logs
logs.configure(*sys.argv[1:])
log = logs.Logger("a", pid=1)
log.debug("found"), log.info("began", key="ns/x"), log.warning("slow")
try:
    raise ValueError("text")
except ValueError:
    log.exception("failed")
logging.getLogger("library").warning("own %s", "words")
logging.getLogger("library").info("whispers")
"""


def said(level: str, form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SAY, level, form], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


def test_json_is_one_object_a_line_with_time_level_logger_message_and_values() -> None:
    began, slow, failed, library = (json.loads(line) for line in said("info", "json"))
    assert (began.pop("time")[-1], began) == (
        "Z", {"level": "info", "logger": "a", "message": "began", "pid": 1, "key": "ns/x"},
    )  # fmt: skip
    assert (slow["level"], failed["level"]) == ("warning", "error")
    assert failed["exception"].splitlines()[-1] == "ValueError: text"
    assert (library["logger"], library["level"], library["message"]) == ("library", "warning", "own words")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["found", "began", "slow", "failed"]),
        ("info", ["began", "slow", "failed"]),
        ("error", ["failed"]),
    ],
)
def test_lines_below_the_level_are_not_written(level: str, shown: list[str]) -> None:
    text = said(level, "text")
    assert [word for word in ("found", "began", "slow", "failed") if any(word in line for line in text)] == shown


def test_without_settings_a_line_that_is_not_written_loads_nothing() -> None:
    code = "import sys; from kubechain import logs; logs.configure('error', 'text')\n"
    code += "logs.Logger('a').info('x'); print('structlog' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"

"""How a command ends: the exit codes that scripts can rely on, and the failures that carry one.

Raised by every command, turned into a line on stderr and an exit code by `main`. Never prints.
"""

from __future__ import annotations

from kubechain.errors import KubechainError

OK = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
TIMED_OUT = 124
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    FAILED: "failed; the reason is on stderr",
    USAGE: "the command line cannot be used as it stands",
    NOT_RUNNING: "no KubeChain answers: start one with `kubechain up`",
    TIMED_OUT: "what was waited for did not happen in time",
    INTERRUPTED: "ended by Ctrl-C",
}


class CommandError(KubechainError):
    """A command could not do what was asked; the message names the object, the cause and the next move."""

    exit_code = FAILED


class NotRunning(CommandError):
    """Nobody answers at the address in the kubeconfig."""

    exit_code = NOT_RUNNING


class TimedOut(CommandError):
    """A wait reached its `--timeout`."""

    exit_code = TIMED_OUT

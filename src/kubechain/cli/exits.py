"""How a command ends: the exit codes that scripts can rely on, and the failures that carry one.

Raised by every command, turned into a line on stderr and an exit code by `main`. Never prints.
"""

from __future__ import annotations

from kubechain.errors import KubechainError

OK = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
ANSWER_CUT = 6
TIMED_OUT = 124
INTERRUPTED = 130

MEANINGS = {
    OK: "done; for `run --follow`, the run has its answer",
    FAILED: "failed, or the run did; the reason is on stderr",
    USAGE: "the command line is wrong",
    NOT_RUNNING: "no KubeChain answers: start one with `kubechain up`",
    ANSWER_CUT: "the run has an answer, but it is not complete: it was cut off at a limit, or filtered",
    TIMED_OUT: "what was waited for did not happen in time",
    INTERRUPTED: "ended by Ctrl-C",
}


class CommandError(KubechainError):
    """A command failed. The message names the object, the cause, and what to do next."""

    exit_code = FAILED


class NotRunning(CommandError):
    """No server answers at the address in the kubeconfig."""

    exit_code = NOT_RUNNING


class TimedOut(CommandError):
    """A wait reached its `--timeout`."""

    exit_code = TIMED_OUT


class AnswerCut(CommandError):
    """A run has an answer that is not complete."""

    exit_code = ANSWER_CUT

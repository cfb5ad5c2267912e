"""Which error of many is told to whoever started the program."""

from __future__ import annotations

import errno

from kubechain.cli.serve import the_cause
from kubechain.errors import SettingsError


def test_an_error_of_ours_or_of_the_system_is_told_alone_and_a_bug_with_all_that_is_known() -> None:
    ours, full, bug = SettingsError("wrong"), OSError(errno.ENOSPC, "full"), KeyError("bug")
    assert the_cause(BaseExceptionGroup("", [bug, ExceptionGroup("", [full, ours])])) is ours
    assert the_cause(BaseExceptionGroup("", [bug, ExceptionGroup("", [full])])) is full
    both = BaseExceptionGroup("", [bug])
    assert the_cause(both) is both

"""Turns an error into the message that a command prints, with the wording of kubectl.

Used by `main` for what ends a command, and by commands that go on after one. Never prints.
"""

from __future__ import annotations

from kubechain.errors import ApiError, KubechainError


def explained(error: KubechainError, doing: str = "") -> str:
    """One line (or a list of causes); `doing` says what was being done, as in `error when applying "x": `."""
    if not isinstance(error, ApiError):
        return f"error: {doing}{error}"
    if error.reason == "Unauthorized":
        return "error: You must be logged in to the server (Unauthorized)"
    details = error.details
    if error.reason == "Invalid" and details.causes:
        told = [f"{cause.field}: {cause.message}" for cause in details.causes]
        listed = f" {told[0]}" if len(told) == 1 else " " + "".join(f"\n* {one}" for one in told)
        return f'{doing}The {details.kind} "{details.name}" is invalid:{listed}'
    return f"Error from server ({error.reason}): {doing}{error.message}"

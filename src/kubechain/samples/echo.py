"""The function behind the ready-made Tool `simple-echo-tool`: the smallest tool that does something visible."""

from __future__ import annotations


def simple_echo(message: str) -> str:
    """Echo a message back to the user.

    Args:
        message: The text to echo.

    Returns:
        The message, with "Echo: " before it.
    """
    return f"Echo: {message}"

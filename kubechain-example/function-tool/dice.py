"""Your own tool: a Python function with type hints and a docstring. Nothing in it is special to KubeChain."""

import random


def roll(sides: int, times: int = 1) -> str:
    """Roll dice and tell what came up.

    Args:
        sides: How many sides each die has.
        times: How many dice are rolled.
    """
    if sides < 2 or not 1 <= times <= 100:
        raise ValueError("a die has at least 2 sides, and at most 100 dice are rolled at once")
    rolled = [random.randint(1, sides) for _ in range(times)]  # noqa: S311 - dice, not keys
    return str(rolled[0]) if times == 1 else f"{' + '.join(map(str, rolled))} = {sum(rolled)}"

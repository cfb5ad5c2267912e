"""What a tool process may use, who holds it to that, and how that is said to people. Pure.

`starting` passes the bounds on to where the process is started (cgroups.py, tether.py); the runners of functions
and MCP servers make them from a manifest and show who holds them.
"""

from __future__ import annotations

from msgspec import Struct

from kubechain.agents.ports.tool import Held
from kubechain.resources.limits import Resources
from kubechain.resources.quantity import cores, size


class Bounds(Struct, frozen=True):
    """As in the manifest: `memory` in bytes, `cpu` in cores; their words beside them. None: not limited."""

    memory: int | None = None
    cpu: float | None = None
    memory_words: str = ""
    cpu_words: str = ""

    def __bool__(self) -> bool:
        return self.memory is not None or self.cpu is not None


NO_BOUNDS = Bounds()


def bounds_of(resources: Resources | None) -> Bounds:
    """The bounds that a manifest sets."""
    limits = resources.limits if resources is not None else None
    if limits is None:
        return Bounds()
    return Bounds(
        size(limits.memory) if limits.memory else None,
        cores(limits.cpu) if limits.cpu else None,
        limits.memory or "",
        limits.cpu or "",
    )


def held_by_cgroup(bounds: Bounds, version: int) -> Held:
    """All its processes together are held."""
    what = [f"memory {bounds.memory_words}"] if bounds.memory else []
    what += [f"cpu {bounds.cpu_words}"] if bounds.cpu else []
    many = "hold" if len(what) > 1 else "holds"
    return Held(True, "Cgroup", f"{' and '.join(what)} {many} for all its processes together (cgroup v{version})")


def held_by_rlimits(bounds: Bounds, why: str) -> Held:
    """Each of its processes is held by itself, as far as that goes; `why` no cgroup does it."""
    what = []
    if bounds.memory:
        what.append(f"memory {bounds.memory_words} holds for each of its processes alone (RLIMIT_DATA)")
    if bounds.cpu:
        what.append(f"cpu {bounds.cpu_words} does not hold, its processes run at a low priority instead (nice)")
    return Held(False, "Rlimits", f"{'; '.join(what)}; no cgroup can be made: {why}")


def not_held(system: str) -> Held:
    """There is no watcher that could hold it."""
    return Held(False, "NotEnforced", f"limits hold only on Linux, and this is {system}")


def about_memory(bounds: Bounds, held: Held | None, over_memory: bool, words: str, field: str) -> str:
    """What the end of a process has to do with its memory limit, to follow how it ended; "" if nothing.

    `over_memory`: the kernel says so. That a process has reached an rlimit, only `words` can tell, what it printed
    last. `field` sets the limit.
    """
    way_on = f"memory limit of {bounds.memory_words}; raise {field}, or have it use less"
    if over_memory:
        return f" because it used more than its {way_on}"
    by_rlimit = held is not None and held.reason == "Rlimits" and bounds.memory is not None
    if by_rlimit and any(sign in words.lower() for sign in ("memory", "enomem", "bad_alloc")):
        return f", perhaps because it reached its {way_on}"
    return ""

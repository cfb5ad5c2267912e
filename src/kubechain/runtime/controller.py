"""The port `Controller`: what one kind's controller offers to the worker that runs it.

A controller gets the object as the informer holds it (never to be mutated), reads what else it needs, decides, has
one effect, and says when to look again. It raises what it cannot handle; the worker decides what follows from an
error.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from kubechain.resources.kind import Kind
from kubechain.resources.model import Resource

R = TypeVar("R", bound=Resource)


class Done(msgspec.Struct, frozen=True, gc=False):
    """Nothing more to do until something changes.

    What the pass wrote to its own object does not count as a change. A pass that has more to do returns
    `After(0)`.
    """


class After(msgspec.Struct, frozen=True, gc=False):
    """Look again after so many seconds, or earlier if something changes. 0: at once."""

    seconds: float


Next = Done | After


class Controller(Protocol[R]):
    """Handles one object in one pass. It is told which object, but not why.

    What `reconcile` raises is dealt with by class:
    Conflict and NotFound (the cache was behind): again at once, a few times, then with backoff.
    Transient: after its `retry_after`, else with backoff; one Warning Event per change of message.
    Terminal: one Warning Event, and no further try before something but the status changes.
    Anything else is a bug: backoff, logged with its traceback once per change of message.
    A successful pass forgets all failures.
    """

    @property
    def kind(self) -> Kind[R]: ...

    async def reconcile(self, obj: R) -> Next:
        """Takes one step towards the desired state of `obj`.

        The pass is cancelled when its object is deleted (a deletionTimestamp is enough) or replaced by another of
        the same name: nobody waits for its result any more. No Event about the object follows.
        """
        ...

    async def gone(self, last: R) -> None:
        """Ends what was started for an object that was deleted, and forgets the object.

        Called once for each object that was not at rest, in every replica that saw it, after the pass over it has
        ended and before one over a new object of its name begins. `last` is the object as last seen. A process
        that did not run at the time is not told. What is raised here is logged, and not repeated.
        """
        ...

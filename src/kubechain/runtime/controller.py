"""The port `Controller`: what one kind's controller offers to the worker that runs it.

A controller gets the object as the informer holds it (never to be mutated), reads what else it needs, decides, has
one effect, and says when to look again. It raises what it cannot deal with: the worker owns failure.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from kubechain.resources.kind import Kind
from kubechain.resources.model import Resource

R = TypeVar("R", bound=Resource)


class Done(msgspec.Struct, frozen=True, gc=False):
    """Nothing more to do until something changes.

    What the pass itself wrote to its object is no such change: a pass that is not done with it returns `After(0)`.
    """


class After(msgspec.Struct, frozen=True, gc=False):
    """Look again in so many seconds, or earlier when something changes; 0 is at once."""

    seconds: float


Next = Done | After


class Controller(Protocol[R]):
    """One pass over one object, told only which object: never why it is looked at.

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
        """Brings the world one step nearer to what `obj` asks for.

        The pass is cancelled when its object is deleted (a deletionTimestamp is enough) or replaced by another of
        the same name: nobody waits for it any more. Nothing is said about the object from then on.
        """
        ...

    async def gone(self, last: R) -> None:
        """Ends what was begun for an object that is no longer there, and forgets what was known of it.

        Called once for each object that was not at rest, in every replica that saw it, after the pass over it has
        ended and before one over a new object of its name begins. `last` is the object as last seen. A process
        that did not run at the time is not told. What is raised here is logged, and not repeated.
        """
        ...

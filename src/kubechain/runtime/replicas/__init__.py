"""Several replicas of the operator: which are alive, which one works on what, and how work is handed over.

`claim` and `share` decide and do no I/O; `lease`, `members` and `replica` keep the Leases in which replicas see
each other. Safety does not depend on them: it comes from compare-and-swap, computed names, and the holder of a
running call.
"""

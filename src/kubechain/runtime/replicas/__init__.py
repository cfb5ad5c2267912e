"""Several replicas of the operator: who is alive, who acts on what, and how work changes hands.

`claim` and `share` decide and do no I/O; `lease`, `members` and `replica` keep the Leases in which replicas see
each other. Safety does not rest on it: that is compare-and-swap, computed names and the holder of a Running mark.
"""

"""The composition roots: `embedded` (one process over a store) and `operator` (over a real API server).

Both join the same control loops (`loops`) to an `Api` and to the providers; they know which implementation stands
behind which port, and nothing else does. Called by the CLI and by tests.
"""

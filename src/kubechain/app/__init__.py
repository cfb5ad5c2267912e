"""The composition roots: `embedded` (one process over a store) and `operator` (over a real API server).

Both join the same control loops (`loops`) to an `Api` and to the providers; only they know which implementation
is used for which port. Called by the CLI and by tests.
"""

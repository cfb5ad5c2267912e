"""Several replicas of the operator as real processes over a real Kubernetes, killed and cut off while they work.

`test_replicas.py` plays it small, for CI; `python -m tests.replicas` plays it in full and prints what it measured.
"""

"""Measurements of KubeChain beside its peers: one job, many systems. Nothing here is part of the program."""

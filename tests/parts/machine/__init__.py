"""A real one-node Kubernetes on this machine: kubelet, scheduler, kube-proxy, containerd and a control plane.

`async with Machine() as machine` (outside.py) starts it in Linux namespaces of its own and ends it with everything
in it. tests/machine calls it. By hand: `python -m tests.parts.machine`.
"""

"""KubeChain: agents, their tools and their conversations as Kubernetes objects."""

__version__ = "0.1.0"

"""Tools whose work is done outside KubeChain."""

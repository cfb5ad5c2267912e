"""What a cluster needs besides the operator's program: rights, Deployment, manifests, chart, generated reference.

Made from the kinds in `resources`; written to `deploy/` and `docs/` by `make generate`, printed by
`kubechain install`.
"""

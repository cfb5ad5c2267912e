"""The operator as Kubernetes objects: what `kubechain install` prints, what deploy/ holds for kustomize and Helm.

`manifests` joins them, `kustomize` and `chart` write the same into files. Pure but for those two; rights come from
`resources.rbac`, kinds from `resources.crd`.
"""

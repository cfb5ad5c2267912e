"""The tool kind `container`: podman or docker on a laptop (`local`), Jobs in a cluster (`jobs`)."""

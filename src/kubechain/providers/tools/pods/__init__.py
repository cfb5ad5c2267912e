"""Tool processes in pods of their own, reached through the API server of a cluster."""

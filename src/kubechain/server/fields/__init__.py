"""Field ownership: `metadata.managedFields`, and server-side apply, which respects it.

Called by the HTTP layer on every write. Pure; follows the rules of a Kubernetes API server within one version.
"""

from kubechain.server.fields.apply import apply
from kubechain.server.fields.managers import track_update

__all__ = ["apply", "track_update"]

"""A model that follows a script, over real HTTP: for the demo, for tests, for a laptop without a key.

`app` and tests start it with `ScriptedModel`, only if the user asked for it.
"""

from kubechain.providers.models.scripted.script import OBLIGING, Script, load, load_file
from kubechain.providers.models.scripted.server import ScriptedModel

__all__ = ["OBLIGING", "Script", "ScriptedModel", "load", "load_file"]

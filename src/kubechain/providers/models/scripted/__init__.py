"""A model that follows a script, over real HTTP: for the demo, for tests, for a laptop without a key.

app.py and tests start it with `ScriptedModel`; it never stands between a user and a real model unasked.
"""

from kubechain.providers.models.scripted.script import OBLIGING, Script, load, load_file
from kubechain.providers.models.scripted.server import ScriptedModel

__all__ = ["OBLIGING", "Script", "ScriptedModel", "load", "load_file"]

"""Anthropic's wire, through the `direct` API of pydantic-ai.

router.py calls it; it implements the port ModelProvider. The library is imported at the first call and comes with
the extra `kubechain[anthropic]`. It never retries and reads nothing from the environment: address, key and headers
are the endpoint's alone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

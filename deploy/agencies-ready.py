"""Health check of the simulated agencies: exit status 0 when every one takes calls."""

import sys

from hub.settings import get_settings
from sandbox.servers.readiness import is_ready
from schemas.contract import stems

sys.exit(0 if all(is_ready(stem, get_settings()) for stem in stems()) else 1)

"""What all tests share: the course on the path, and asyncio's debug mode, which reports what was never awaited."""

import os
import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("PYTHONASYNCIODEBUG", "1")  # also for the servers that tests start as processes

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)  # the same inputs on every run
settings.load_profile("repeatable")

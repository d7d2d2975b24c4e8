"""What all tests share: the course on the path, asyncio's debug mode in the tests' own event loops, repeatable inputs."""

import signal
import sys
from pathlib import Path

from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts a job in the background has it ignored
sys.path.insert(0, str(Path(__file__).parent.parent))

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)  # the same inputs on every run
settings.load_profile("repeatable")


def pytest_configure(config):
    """Debug mode reports what was never awaited and what blocks. Not for child processes: slow is no error there."""
    config.option.asyncio_debug = True


def pytest_collection_modifyitems(items):
    """What is kept together on one worker takes longest, the notebooks above all: it begins first."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)

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


LONGEST = ("test_notebooks", "test_exercises", "test_jupyterlab", "test_pages")  # two files at a time; these begin


def pytest_collection_modifyitems(items):
    """Long files first, so that no worker is left alone with one of them in the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))

"""A program on a leash: it ends when whoever started this process does, however that ends.

    python leash.py COMMAND …       # stdin: a line `start` or `kill`; the end of stdin is the end of everything

Redis does not watch its standard input, so it would survive a killed kernel as an orphan. This process does the watching
for it. It also owns the folder in which the program runs, which outlives a kill and a new start, and nothing more.
"""

import signal
import subprocess
import sys
import tempfile
import threading

ENDED = "leash: the program has ended"  # on stdout, among the program's own lines


def main(command: list[str]) -> None:
    """Start and kill the program as the lines on standard input say, until they end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    child = None
    with tempfile.TemporaryDirectory(prefix="leash-") as folder:
        try:
            for line in sys.stdin:
                end(child)
                if line == "start\n":
                    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
                    threading.Thread(target=tell_end, args=(child,), daemon=True).start()
        finally:
            end(child)


def end(child: subprocess.Popen | None) -> None:
    """Kill the program, as a power cut would: no last words, nothing saved."""
    if child:
        child.kill()
        child.wait()


def tell_end(child: subprocess.Popen) -> None:
    """Say when the program has ended, of itself or not."""
    child.wait()
    print(ENDED, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

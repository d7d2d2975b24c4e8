"""A wire that delays and loses packets: two network stacks of this machine with a relay between them.

    python -m labs.choosing.lossy_wire --loss 0.05 --rtt 50 --seed 1 --near "COMMAND" --far "COMMAND"

runs the near command at 10.77.0.1 and the far one at 10.77.0.2, carries every IP packet between them half a round trip later,
or not at all, and ends when the far command has ended, at the latest after --limit seconds. Ping shows what it does:

    python -m labs.choosing.lossy_wire --loss 0.05 --near "sleep 60" --far "ping -c 20 -i 0.2 10.77.0.1"

Design notes
  * The kernels' own TCP meets the loss: what comes again, and when, is real. The link of `labs.link` carries bytes and could
    never lose any. Linux has netem for this, a kernel module that many machines lack; this needs none.
  * One seeded coin for each direction. The same seed gives the same sequence of losses; which packet meets which toss depends
    on when the kernel sends it, so a repeated run is alike, not equal.
  * The delay is fixed and the order is kept, so everything late on this wire is late because of a loss.
  * The two ends are ordinary processes, and neither knows of the wire. What connects first may do so undisturbed: with
    --wait-for-signal nothing is lost until the far command sends SIGUSR1 to its parent.
"""

import argparse
import asyncio
import os
import random
import select
import shlex
import signal
import subprocess
import sys
import time
from functools import cache, partial
from pathlib import Path

from labs.choosing.namespaces import DEVICE, end_with_starter, enter_new_network, tun
from labs.choosing.relay import Direction, relay

NEAR, FAR = "10.77.0.1", "10.77.0.2"
ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 60.0


def connect(options: argparse.Namespace) -> int:
    """Make the two ends, start their commands, and relay. Returns the far command's exit status; 124 when the time was up."""
    lossless_yet = 0.0 if options.wait_for_signal else options.loss
    lossy = tuple(Direction(lossless_yet, options.rtt / 2000, coin(options.seed, end)) for end in ("near", "far"))

    def begin_to_lose(*_):
        for direction in lossy:
            direction.loss = options.loss

    signal.signal(signal.SIGUSR1, begin_to_lose)
    files, ends = [], []
    try:
        for address, line in ((NEAR, options.near), (FAR, options.far)):
            enter_new_network()
            files.append(tun(address))
            manners = {"stdin": subprocess.DEVNULL, "preexec_fn": end_with_starter}
            ends.append(subprocess.Popen(shlex.split(line), cwd=ROOT, **manners))
        relay(*files, lossy, partial(over, ends[1], options.exit_on_eof), time.monotonic() + options.limit)
        return 124 if ends[1].poll() is None else ends[1].returncode
    finally:
        for end in ends:
            end.kill()
            end.wait()


def coin(seed: int, end: str) -> random.Random:
    """The coin for the packets that one end sends."""
    return random.Random(f"{seed} {end}")


def over(far: subprocess.Popen, exit_on_eof: bool) -> bool:
    """Whether the far command has ended, or nobody is there any more who wants to know."""
    return far.poll() is not None or (exit_on_eof and bool(select.select([0], [], [], 0)[0]) and not os.read(0, 1))


@cache
def impossible() -> str | None:
    """Why this machine cannot have such a wire, as a sentence; None where it can."""
    if not sys.platform.startswith("linux"):
        return "Network namespaces are Linux's, and this is another system."
    if not Path(DEVICE).exists():
        return f"This machine has no {DEVICE}, without which a program cannot be a wire."
    tried = subprocess.run(command(near="true", far="true", limit=5), cwd=ROOT, capture_output=True, text=True)
    if tried.returncode:
        return f"This system does not let a program have a network of its own ({tried.stderr.strip() or 'it ended'})."
    return None


def command(*flags: str, **options) -> list[str]:
    """The command line of this module: `command(loss=0.05, near="…", far="…")`."""
    chosen = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "labs.choosing.lossy_wire", *chosen, *flags]


async def across(near: str, far: str, **options) -> str:
    """Run two commands with the wire between them and return what the far one wrote. Raises `RuntimeError`."""
    flags, pipes = ("--wait-for-signal", "--exit-on-eof"), dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    wire = await asyncio.create_subprocess_exec(*command(*flags, near=near, far=far, **options), cwd=ROOT, **pipes)
    try:
        said, errors = await asyncio.gather(wire.stdout.read(), wire.stderr.read())  # not communicate: it ends stdin
    finally:
        wire.stdin.close()
        status = await wire.wait()
    if status:
        raise RuntimeError(f"the far end failed with status {status}: {errors.decode()[-2000:]}")
    return said.decode()


def main() -> int:
    """The command above."""
    parser = argparse.ArgumentParser(
        prog="python -m labs.choosing.lossy_wire",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--loss", type=float, default=0.0, help="share of the packets that are lost, 0 to 1")
    parser.add_argument("--rtt", type=float, default=50.0, help="round trip in milliseconds (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which sequence of losses (default %(default)s)")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="end after so many seconds (default %(default)s)")
    parser.add_argument("--near", required=True, help=f"command at {NEAR}")
    parser.add_argument("--far", required=True, help=f"command at {FAR}")
    parser.add_argument("--wait-for-signal", action="store_true", help="lose nothing before SIGUSR1")
    parser.add_argument("--exit-on-eof", action="store_true", help="end when standard input ends")
    try:
        return connect(parser.parse_args())
    except OSError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

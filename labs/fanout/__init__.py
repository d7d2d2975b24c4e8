"""What it costs to tell everybody in a room, and what happens to everybody when one member stops reading.

    points = await fanout.latency_and_cpu("gather")     # one point for each number of members and of messages in flight
    run = await fanout.stalled("gather")                # and the same without the fault: stalled("gather", stall=False)

Design notes
  * Each call starts `labs.servers.broadcast` with one of its ways, and stops it. No link stands between; a relay would cost
    more than what is measured.
  * The server is one process, and all members share another one, this one, in a thread with an event loop of its own. Where
    there are two cores each has one, and whatever else runs on the machine takes from both. The CPU time is the server's own
    and nearly free of that; latencies are not.
  * A member is as cheap as can be. It counts frames by their heads, never looks at what they say, and runs on uvloop where
    that exists. Five hundred clients of the `websockets` library would cost several times what the server spends on them, and
    the latency would be their own. (On Windows, without uvloop, it still is: there trust the CPU time alone.)
  * In `latency_and_cpu` the next message leaves when the last member has one (a closed loop: what one broadcast takes). In
    `stalled` messages are due at fixed times, and lateness counts from those (an open loop; notebook 00).
"""

from labs.fanout.cost import Point, latency_and_cpu
from labs.fanout.crowd import Crowd, Member
from labs.fanout.lobby import engines
from labs.fanout.stall import Moment, Stalled, stalled

WAYS = ("in_turn", "gather", "tasks", "broadcast", "joined")  # those of labs.servers.broadcast

__all__ = ["WAYS", "Crowd", "Member", "Moment", "Point", "Stalled", "engines", "latency_and_cpu", "stalled"]

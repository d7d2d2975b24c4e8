"""What both ends of a WebRTC connection share here: aiortc's peer with no STUN server, at home on 127.0.0.1.

ICE (RFC 8445) is made for peers that do not know their own addresses, and it tries all of them. This course stays on one
machine: each end has one address, so that nothing is tried, looked up or sent anywhere else.
"""

import logging

from aiortc import RTCConfiguration, RTCPeerConnection

HERE = "127.0.0.1"
BREAKS = ("failed", "closed")  # states of a connection that does not come back

logging.getLogger("aioice").setLevel(logging.WARNING)  # it tells every step of every connection


def new_peer() -> RTCPeerConnection:
    """One end of a connection. No STUN server is asked for this machine's public address (aiortc's default asks Google's)."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def stay_here(peer: RTCPeerConnection, here: str = HERE) -> None:
    """Gather one candidate, by default 127.0.0.1, instead of one for each other address of this machine.

    aioice leaves loopback out, and has no option for it. Replaces a method of one connection of aioice, in this one place;
    to be called when the peer has its data channel or its offer, before its own description is set.
    """
    ice = peer.sctp.transport.transport.iceGatherer._connection
    gather = ice.get_component_candidates
    ice.get_component_candidates = lambda component, addresses: gather(component=component, addresses=[here])


def without_candidates(sdp: str) -> str:
    """A session description that names no address (RFC 8839 §5.1): whoever reads it waits to be spoken to."""
    named = ("a=candidate:", "a=end-of-candidates")
    return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith(named))

"""Choosing a transport (notebook 07): two visitors, one workload for all, and what follows from it.

One workload, every transport:
    grand             the same events at three rates, from two distances
    costs, bare       what no rate changes: CPU time, memory, idle bytes; by readers as bare as can be
    needs, decision   what a product needs, what each transport would cost it, and which one the rule takes
    optional          the packages that only this notebook needs: found, installed, or done without

Socket.IO beside a plain WebSocket:
    socketio_client   a reader of `labs.servers.socketio_feed`
    socketio_cost     round trips, bytes and heartbeats, exact
    socketio_cut      what is lost or doubled when a connection breaks

WebRTC beside TCP, on a network that loses packets:
    webrtc_client     a reader of `labs.servers.webrtc_feed`, and `datagram_link`, the network in a box for datagrams
    loss              the experiment: three ways at once over one wire; its ends and its record are loss_ends, loss_record
    lossy_wire        that wire, made of two TUN devices, a relay and two namespaces (relay, namespaces)

The versions of HTTP:
    http2             every byte of a poll, by the rules of HPACK (header_table) and counted
    http3             WebTransport under loss, on a simulated network (quic_path)
    first_byte        round trips until an answer: TCP, TLS, QUIC (certificate)

Exercises:
    benchmarks        five wrong ones, in a small_world whose figures are fixed
    ways              three ways to follow a feed, between which a client can choose

`recorded/` holds what is shown where a machine cannot measure it.
"""

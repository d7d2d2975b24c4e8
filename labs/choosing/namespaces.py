"""A network that nobody else is in: Linux namespaces and the TUN devices that lead out of them.

A *network namespace* is a whole network stack of its own: interfaces, addresses, routes, sockets. A process asks for one with
`unshare(2)`, and whatever it starts afterwards lives there too. A *TUN device* is an interface whose wire is a file: what the
kernel sends is read from it, packet by packet, and what is written to it has arrived.

Design notes
  * Root may make namespaces. Others may where the system lets them have a *user namespace*, in which they are root over
    nothing but their own; many systems do, containers and hardened desktops often do not.
  * Addresses are set with ioctl(2), as `ifconfig` always has; iproute2 need not be there, nor Python 3.12's os.unshare.
  * Everything goes when the last process inside has ended: interfaces, routes, settings.
"""

import ctypes
import os
import socket
import struct
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NEW_USER, NEW_NET = 0x10000000, 0x40000000  # linux/sched.h: CLONE_NEWUSER, CLONE_NEWNET
SET_TUN, TUN, BARE = (
    0x400454CA,
    0x0001,
    0x1000,
)  # linux/if_tun.h: TUNSETIFF, IFF_TUN, IFF_NO_PI (nothing but the packet)
SET_FLAGS, SET_ADDRESS, SET_NETMASK = 0x8914, 0x8916, 0x891C  # linux/sockios.h
UP_AND_RUNNING = 0x41  # linux/if.h
DEVICE = "/dev/net/tun"
KILL = 9


def libc(name: str, *arguments: int) -> None:
    """Call a function of the C library. Raises `OSError`."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def enter_new_network() -> None:
    """Move this process into an empty network namespace; if need be, into a user namespace too. Raises `OSError`."""
    try:
        libc("unshare", NEW_NET)
    except PermissionError:
        user, group = os.getuid(), os.getgid()
        libc("unshare", NEW_USER | NEW_NET)
        Path("/proc/self/setgroups").write_text("deny")  # user_namespaces(7): before gid_map may be written
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    up("lo")


def tun(address: str, name: str = "wire") -> int:
    """A new TUN device in this namespace, up, with this IPv4 address in a /24: its file descriptor. Raises `OSError`."""
    file = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, SET_TUN, struct.pack("16sH22x", name.encode(), TUN | BARE))
    configure(name, SET_ADDRESS, internet(address))
    configure(name, SET_NETMASK, internet("255.255.255.0"))  # this also sets the route
    up(name)
    return file


def up(name: str) -> None:
    """Switch an interface on."""
    configure(name, SET_FLAGS, struct.pack("H22x", UP_AND_RUNNING))


def internet(address: str) -> bytes:
    """A sockaddr_in without a port."""
    return struct.pack("=HH4s16x", socket.AF_INET, 0, socket.inet_aton(address))


def configure(name: str, what: int, value: bytes) -> None:
    """Change an interface of this namespace. Raises `OSError`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, what, struct.pack("16s24s", name.encode(), value))


def end_with_starter() -> None:
    """To be called in a new process: it is killed when the one that started it ends, however that ends (prctl(2))."""
    libc("prctl", 1, KILL, 0, 0, 0)

"""Ports of loopback for servers that are told theirs before they listen. Nothing but the standard library."""

import itertools
import os
import pathlib
import socket

FIRST = 10_000  # five digits, so that recordings of them are of one length
ENOUGH = 1_000


def unasked():
    """Ports that the system gives to nobody who does not ask for them by number, so that none is taken between now and its use."""
    try:
        end = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        end = 32_768
    return range(FIRST, end if end >= FIRST + ENOUGH else 65_535)


# Processes of tests that run beside each other begin at places of their own, and each port is given once.
GIVEN = itertools.count(os.getpid() * 193)


def free_port():
    """A port that nobody listens on now."""
    ports = unasked()
    for place in itertools.islice(GIVEN, len(ports)):
        port = ports[place % len(ports)]
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of loopback is free")

"""What a port between hosts gives to who connects: ``knock.py WHO KIND ADDRESS PORT DIRECTORY``.

WHO is ``plain``, who speaks no TLS; ``stranger``, TLS without a certificate; ``member``, TLS with
the host's own from DIRECTORY.  KIND is a key of HELLOS.  Prints ``open`` if the server answers or
waits for more, else why it does not.  Runs with the Python of a host, without packages.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys

PATIENCE = 3  # seconds in which a server that refuses has closed the connection
ALERT = b"\x15\x03"
NAME = b"x@neighbour"
DUMP = 123451501  # GlusterFS's program that lists the others
HELLOS = {
    "peers": b"HAProxyS 2.1\nnobody\nneighbour 1 0\n",
    "erlang": struct.pack(">HcQIH", 15 + len(NAME), b"N", 0xD0DF7FBFC, 1, len(NAME)) + NAME,
    "gluster": struct.pack(">11I", 0x80000028, 1, 0, 2, DUMP, 1, 1, 0, 0, 0, 0),
}


def knock(who: str, hello: bytes, address: tuple[str, int], directory: str) -> str:
    """Connect; return ``open``, or why the server gives no service."""
    with socket.create_connection(address, timeout=PATIENCE) as plain:
        if who == "plain":
            plain.sendall(hello)
            return answer(plain)
        context = ssl.create_default_context(cafile=f"{directory}/ca.pem")
        context.check_hostname = False  # the address is given, not the name
        if who == "member":
            context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/cert.pem.key")
        with context.wrap_socket(plain) as connection:
            return answer(connection)


def answer(connection: socket.socket) -> str:
    """Return what the server makes of the connection."""
    try:
        said = connection.recv(100)
    except TimeoutError:
        return "open"
    return "open" if said and not said.startswith(ALERT) else f"closed {said!r}"


if __name__ == "__main__":
    given, kind, host, port, certificates = sys.argv[1:]
    try:
        print(knock(given, HELLOS[kind], (host, int(port)), certificates))
    except OSError as error:  # ssl.SSLError is one
        print(f"closed {error}")

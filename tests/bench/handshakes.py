"""Makes connections of TLS 1.3 to a port of this host, one after the other, and says how many.

handshakes.py PORT SECONDS full|resumed
"""

import socket
import ssl
import sys
import time


def main():
    port, seconds, kind = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    anyone.minimum_version = ssl.TLSVersion.TLSv1_3
    session = session_of(anyone, port) if kind == "resumed" else None
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        shake(anyone, port, session)
        count += 1
    print(count)


def session_of(context, port):
    """It comes with what the server says after the handshake, so that something must be asked."""
    with connect(context, port, None) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        while stream.recv(4096):
            pass
        return stream.session


def shake(context, port, session):
    with connect(context, port, session) as stream:
        if stream.session_reused != (session is not None):
            sys.exit(f"resumed: {stream.session_reused}")
        # The server has done all that it does when it has closed.
        stream.shutdown(socket.SHUT_WR)
        drain(stream)


def drain(stream):
    try:
        while stream.recv(4096):
            pass
    except (ssl.SSLError, ConnectionResetError):
        pass  # some do not say goodbye to a client that did not


def connect(context, port, session):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), session=session)


main()

"""python tls_client.py ADDRESS PORT plain|tls: what somebody who is no member of the mesh gets at an ingress, as one word."""

import socket
import ssl
import sys


def main(address: str, port: str, how: str) -> str:
    try:
        with socket.create_connection((address, int(port)), timeout=20) as plain:
            return exchange(anonymous(plain) if how == "tls" else plain)
    except ConnectionRefusedError:
        return "refused"
    except (ssl.SSLError, ConnectionError):
        return "closed"


def exchange(connection: socket.socket) -> str:
    connection.settimeout(20)
    connection.sendall(b"GET / HTTP/1.1\r\nhost: blue\r\nconnection: close\r\n\r\n")
    return "answered" if connection.recv(65536) else "closed"


def anonymous(connection: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))

"""A port that is noted for later is one that the system does not give to somebody else meanwhile."""

import socket
from pathlib import Path

from hub.postgres import free_port


def test_a_free_port_can_be_listened_on_and_is_none_the_system_gives_away():
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
        assert given.getsockname()[1] >= first
        ports = {free_port() for _ in range(50)}
    assert max(ports) < first and len(ports) > 25
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports.pop()))
        listener.listen()

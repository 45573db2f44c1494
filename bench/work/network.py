"""`--offline` inside a worker: connections that a plugin tries to open are refused.

An audit hook sees every socket of this process, also through references that a plugin took before. It cannot see
programs that a plugin starts, nor libraries that open sockets in C.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from bench.errors import PluginError

EVENTS = frozenset(
    {
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "socket.sendto",
        "socket.sendmsg",
    }
)


class NetworkGuard:
    """Refuses while it is `active`. `who` is running now.

    `tried` are the places that it wanted to reach, whether or not it caught the error.
    """

    def __init__(self) -> None:
        self.who = "a plugin"
        self.active = True
        self.tried: list[str] = []

    def install(self) -> None:
        """From now on, and for good: an audit hook cannot be removed."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active or event not in EVENTS:
            return
        place = arguments[0]
        if isinstance(place, socket.SocketType):
            if place.family == getattr(socket, "AF_UNIX", None):  # to another process of this machine
                return
            place = arguments[1]
        elif event == "socket.getaddrinfo" and place is None:
            return
        shown = ":".join(map(str, place[:2])) if isinstance(place, tuple) else _text(place)
        self.tried.append(shown)
        raise PluginError(
            f"{self.who} wanted to reach {shown}, but offline mode is on: what it needs belongs into `assets` of its "
            "spec, for `bench fetch` to bring; or run without --offline"
        )


def _text(place: Any) -> str:
    return place.decode(errors="replace") if isinstance(place, bytes) else str(place)

# SPDX-License-Identifier: GPL-3.0-or-later
"""A client for rtpengine's ng protocol: bencoded dictionaries over UDP, and a rtpengine to talk to.

As little as a comparison needs; the media engine on rtpengine is another matter.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

ANSWER_WITHIN_S = 2.0


class Ng:
    """Asks one rtpengine."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(ANSWER_WITHIN_S)
        self._socket.connect(address)

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Send one command; its answer. Raises RuntimeError unless that is ok or pong."""
        cookie = secrets.token_hex(8).encode()
        keys = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._socket.send(cookie + b" " + _encode({"command": command, **keys}))
        answer, _ = _decode(self._socket.recv(65536).removeprefix(cookie + b" "), 0)
        if answer.get("result") not in ("ok", "pong"):
            raise RuntimeError(f"rtpengine: {answer}")
        return dict(answer)

    def close(self) -> None:
        """No more questions."""
        self._socket.close()


@contextlib.contextmanager
def rtpengine(first_port: int, last_port: int) -> Iterator[tuple[int, Ng]]:
    """A rtpengine in user space with one media thread; its process number, and a client."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        control = probe.getsockname()
    options = {
        "config-file": "none",  # what is set up on this machine is none of our business
        "table": -1,
        "interface": "127.0.0.1",
        "listen-ng": f"{control[0]}:{control[1]}",
        "port-min": first_port,
        "port-max": last_port,
        "num-threads": 1,
        "log-level": 2,
    }
    command = ["rtpengine", "--foreground", "--log-stderr"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stderr=log)
        ng = Ng(control)
        try:
            _until_up(ng, process)
            yield process.pid, ng
        finally:
            ng.close()
            process.terminate()
            if process.wait():
                log.seek(0)
                print(log.read())


def _until_up(ng: Ng, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError, TimeoutError):
            ng.ask("ping")
            return
    raise RuntimeError("rtpengine does not start")


def _encode(value: object) -> bytes:
    if isinstance(value, dict):
        items = sorted(value.items())
        return b"d" + b"".join(_encode(part) for item in items for part in item) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(map(_encode, value)) + b"e"
    if isinstance(value, int):
        return b"i%de" % value
    text = str(value).encode()
    return b"%d:%s" % (len(text), text)


def _decode(data: bytes, at: int) -> tuple[Any, int]:
    """The value that begins there, and where it ends."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"d", b"l"):
        at += 1
        values = []
        while data[at : at + 1] != b"e":
            value, at = _decode(data, at)
            values.append(value)
        return (
            dict(zip(values[::2], values[1::2], strict=True)) if kind == b"d" else values
        ), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode(), end

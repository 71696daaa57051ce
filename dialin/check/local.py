# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be checked on this machine alone: files, prompts, ports and limits.

Ports are bound for a moment and given up again, and only while no service runs. Whether one does
is found out by `running`.
"""

from __future__ import annotations

import resource
import socket
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from dialin.check.steps import Finding, fail, ok, warn
from dialin.events import Codec
from dialin.sip import Certificate, Listen
from dialin.sip.addresses import bound_socket
from dialin.sip.tls import server_context
from dialin.sounds import SPOKEN, Prompts

OTHERS = stat.S_IRWXO
GROUP_WRITES = stat.S_IWGRP
DESCRIPTORS_PER_CALL = 8
"""Four UDP ports, and as many that rest after the call before."""
DESCRIPTORS_BESIDES = 128
"""Listening sockets, connections, pipes to the workers, the files of Python itself."""
PORTS_PER_CALL = 4
EXPIRES_SOON_S = 14 * 86400.0
"""A certificate that ends sooner should be renewed already."""
RENEW = "Renew it; the running service takes the new one by itself."
MOST_NAMED = 5
"""Of a long list, so many are named."""


def files_are_private(files: Iterable[Path]) -> Finding:
    """Nobody but their owner reads or changes the files that hold secrets."""
    looked_at = 0
    for file in files:
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError as error:
            return fail(f"{file} cannot be looked at: {error.strerror}.", "Mend its rights.")
        if mode & OTHERS:
            return fail(
                f"{file} holds a secret, and everybody on this machine may use it (mode {mode:o}).",
                f"Say `chmod o= {file}`, and change the secret if others work on this machine.",
            )
        if mode & GROUP_WRITES:
            return warn(
                f"{file} holds a secret, and its group may change it (mode {mode:o}).",
                f"Say `chmod g-w {file}`.",
            )
        looked_at += 1
    if not looked_at:
        return ok("No file with a secret in it.")
    return ok(f"{counted(looked_at, 'file')} with secrets, for nobody else's eyes.")


def prompts_are_there(
    languages: Sequence[str], folder: Path | None, codecs: Sequence[Codec]
) -> Finding:
    """Everything can be said, in each language and codec. Raises OperatorError."""
    gaps = Prompts(languages, [folder] if folder else []).gaps
    if gaps:
        return warn(
            "Not said in its own language: "
            f"{listed([f'{language}/{prompt}' for language, prompt in gaps])}.",
            "Record them (docs/prompts.md); until then callers hear another language or a tone.",
        )
    return ok(f"{len(SPOKEN)} prompts in {', '.join(languages)}, as {', '.join(codecs)}.")


def address_is_free(listen: Listen) -> Finding:
    """Nobody else has a SIP address. Raises OperatorError."""
    with closing(bound_socket(listen)):
        return ok("It is free.")


def own_certificate_is_good(
    certificate: Certificate, clock: Callable[[], float] = time.time
) -> Finding:
    """What we prove ourselves with fits its key and has not expired. Raises OperatorError."""
    server_context(certificate)
    ends_at = certificate.expires_at()
    until = datetime.fromtimestamp(ends_at, UTC).date()
    if ends_at < clock():
        return fail(f"It has expired on {until}, so nobody connects to us by TLS.", RENEW)
    if ends_at - clock() < EXPIRES_SOON_S:
        return warn(f"It ends on {until}.", RENEW)
    return ok(f"It fits its key, and ends on {until}.")


def rtp_ports_are_free(first: int, last: int, max_calls: int) -> Finding:
    """Enough of the RTP range is nobody else's."""
    busy = [port for port in range(first, last + 1) if not _is_free(port)]
    free = last - first + 1 - len(busy)
    if free < PORTS_PER_CALL * max_calls:
        return fail(
            f"Only {counted(free, 'port')} of {first} to {last} are free, and {max_calls} calls "
            f"need {PORTS_PER_CALL} each. Others have {listed(busy)}.",
            "Move the range of media.rtp_first_port and rtp_last_port, or stop what uses it.",
        )
    if busy:
        return warn(
            f"Somebody else has {listed(busy)} of {first} to {last}; the others suffice.",
            "Move the range if there are more and more of them.",
        )
    return ok(f"All {free} ports are free.")


def files_suffice(max_calls: int) -> Finding:
    """As many files may be open as the calls need."""
    needed = DESCRIPTORS_PER_CALL * max_calls + DESCRIPTORS_BESIDES
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        return fail(
            f"A process may open {allowed} files here, and {max_calls} calls need up to {needed}.",
            f"Set LimitNOFILE={needed} in the unit (here: `ulimit -n {needed}`), or lower "
            "service.max_calls.",
        )
    return ok(f"{allowed} are allowed here, and up to {needed} needed. The unit has its own limit.")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - for a moment, and nothing is read
        except OSError:
            return False
    return True


def counted(number: int, thing: str) -> str:
    """`1 port`, `2 ports`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def listed(things: Sequence[object]) -> str:
    """A few of them, and how many more there are."""
    named = ", ".join(map(str, things[:MOST_NAMED]))
    more = len(things) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named

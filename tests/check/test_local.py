# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, prompts, ports and limits: each found wrong once."""

from __future__ import annotations

import resource
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from dialin.check import local
from dialin.check.steps import Result
from dialin.errors import OperatorError
from dialin.events import Codec
from dialin.sip import Certificate, Listen
from dialin.sounds import PACKAGE
from tests.fakes.authority import Authority


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "web__token"
    file.write_text("canary")
    file.chmod(0o600)
    return file


def test_a_secret_for_its_owners_eyes_is_fine(secret: Path) -> None:
    finding = local.files_are_private([secret])
    assert finding.result is Result.OK
    assert finding.cause.startswith("1 file with")


def test_no_secret_in_a_file_is_fine() -> None:
    assert local.files_are_private([]).cause == "No file with a secret in it."


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601])
def test_a_secret_that_everybody_may_use_fails(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    finding = local.files_are_private([secret])
    assert finding.result is Result.FAIL
    assert str(secret) in finding.cause
    assert f"chmod o= {secret}" in finding.remedy
    assert "canary" not in str(finding)


def test_a_secret_that_a_group_may_read_is_fine(secret: Path) -> None:
    secret.chmod(0o640)
    assert local.files_are_private([secret]).result is Result.OK


def test_a_secret_that_a_group_may_change_is_doubtful(secret: Path) -> None:
    secret.chmod(0o660)
    finding = local.files_are_private([secret])
    assert (finding.result, "chmod g-w" in finding.remedy) == (Result.WARN, True)


def test_a_secret_that_is_gone_fails(secret: Path) -> None:
    secret.unlink()
    finding = local.files_are_private([secret])
    assert (finding.result, "No such file" in finding.cause) == (Result.FAIL, True)


def test_the_shipped_prompts_are_complete() -> None:
    finding = local.prompts_are_there(["en", "de"], None, [Codec.PCMA])
    assert (finding.result, "en, de" in finding.cause) == (Result.OK, True)


def test_a_prompt_that_a_language_lacks_is_doubtful(tmp_path: Path) -> None:
    (tmp_path / "pl").mkdir()
    finding = local.prompts_are_there(["pl", "en"], tmp_path, [Codec.PCMA])
    assert finding.result is Result.WARN
    assert "pl/welcome" in finding.cause
    assert " more." in finding.cause


def test_a_prompt_that_lacks_a_codec_fails(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    shutil.copy(PACKAGE / "en" / "welcome.pcmu", tmp_path / "en")
    with pytest.raises(OperatorError, match=r"welcome\.pcma"):
        local.prompts_are_there(["en"], tmp_path, [Codec.PCMA])


@contextmanager
def taken(kind: socket.SocketKind) -> Iterator[int]:
    """A port that somebody else has."""
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize(
    ("transport", "kind"), [("UDP", socket.SOCK_DGRAM), ("TCP", socket.SOCK_STREAM)]
)
def test_a_sip_address_that_somebody_has_fails_and_another_is_fine(
    transport: str, kind: socket.SocketKind
) -> None:
    with taken(kind) as port, pytest.raises(OperatorError, match="cannot listen"):
        local.address_is_free(Listen(transport, "127.0.0.1", port))
    finding = local.address_is_free(Listen(transport, "127.0.0.1", 0))
    assert finding.result is Result.OK


def test_rtp_ports_that_somebody_has_fail_where_too_few_are_left() -> None:
    with taken(socket.SOCK_DGRAM) as port:
        narrow = local.rtp_ports_are_free(port, port, 1)
        assert narrow.result is Result.FAIL
        assert f"Others have {port}." in narrow.cause


def test_rtp_ports_that_somebody_has_are_doubtful_where_the_others_suffice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "_is_free", lambda port: port != 10003)
    finding = local.rtp_ports_are_free(10000, 10004, 1)
    assert finding.result is Result.WARN
    assert "Somebody else has 10003 of" in finding.cause
    monkeypatch.setattr(local, "_is_free", lambda port: True)
    assert local.rtp_ports_are_free(10000, 10003, 1).result is Result.OK


def test_a_port_that_was_tried_is_free_again() -> None:
    with taken(socket.SOCK_DGRAM) as port:
        assert not local._is_free(port)
    # Some of them may be others' by now.
    assert any(local._is_free(port) and local._is_free(port) for port in range(42200, 42220))


@pytest.mark.parametrize(
    ("allowed", "result"),
    [(527, Result.FAIL), (528, Result.OK), (resource.RLIM_INFINITY, Result.OK)],
)
def test_as_many_files_may_be_open_as_fifty_calls_need(
    monkeypatch: pytest.MonkeyPatch, allowed: int, result: Result
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    finding = local.files_suffice(50)
    assert finding.result is result
    assert ("LimitNOFILE=528" in finding.remedy) == (result is Result.FAIL)


@pytest.mark.parametrize(
    ("days", "result", "words"),
    [
        (60, Result.OK, "fits its key"),
        (3, Result.WARN, "ends on"),
        (-1, Result.FAIL, "has expired"),
    ],
)
def test_our_own_certificate_has_to_last(
    tmp_path: Path, days: int, result: Result, words: str
) -> None:
    certificate = Authority.made(tmp_path / "ca").issue(
        "own", starts_in=timedelta(days=-9), ends_in=timedelta(days=days)
    )
    finding = local.own_certificate_is_good(certificate)
    assert finding.result is result
    assert words in finding.cause


def test_our_own_certificate_has_to_fit_its_key(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path / "ca")
    mixed = Certificate(authority.issue("one").file, authority.issue("two").key_file)
    with pytest.raises(OperatorError, match="do not match"):
        local.own_certificate_is_good(mixed)


def test_a_long_list_is_cut() -> None:
    assert local.listed([1, 2]) == "1, 2"
    assert local.listed(range(7)) == "0, 1, 2, 3, 4 and 2 more"

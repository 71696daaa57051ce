# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority of the tests' own, and every bad certificate that it can be talked into.

Made by the `openssl` command: what judges certificates here shares nothing with what makes them.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dialin.sip.tls import Certificate

NAME = "sip.example.net"
"""The domain that certificates are for, unless a test says otherwise."""
_CONFIG = """\
[ca]
default_ca = here
[here]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
policy = anything
copy_extensions = none
unique_subject = no
[anything]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
"""
_AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\nsubjectKeyIdentifier=hash\n"


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority, in a folder of its own."""

    folder: Path

    @property
    def file(self) -> Path:
        """Its certificate: what to trust."""
        return self.folder / "ca.pem"

    @classmethod
    def made(cls, folder: Path, name: str = "Test authority") -> Authority:
        """A new authority."""
        folder.mkdir(parents=True)
        (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000\n")
        (folder / "ca.ext").write_text(_AUTHORITY)
        authority = cls(folder)
        authority._key("ca", "rsa:2048")
        authority._request("ca", name)
        authority._openssl(
            *("x509", "-req", "-in", folder / "ca.csr", "-signkey", folder / "ca.key"),
            *("-extfile", folder / "ca.ext", "-days", "30", "-out", authority.file),
        )
        return authority

    def issue(
        self,
        file: str,
        *,
        common_name: str = NAME,
        names: str | None = f"DNS:{NAME}",
        usage: str = "serverAuth",
        key: str = "ec",
        digest: str = "sha256",
        starts_in: timedelta = timedelta(hours=-1),
        ends_in: timedelta = timedelta(days=10),
        signs_itself: bool = False,
    ) -> Certificate:
        """A certificate and its key. `names` is the subjectAltName, None for none."""
        self._key(file, key)
        self._request(file, common_name)
        extensions = ["basicConstraints=CA:FALSE", f"extendedKeyUsage={usage}"]
        if names:
            extensions.append(f"subjectAltName={names}")
        (self.folder / f"{file}.ext").write_text("\n".join(extensions) + "\n")
        signer = file if signs_itself else "ca"
        own = ("-selfsign",) if signs_itself else ("-cert", self.file)
        self._openssl(
            *("ca", "-batch", "-notext", "-config", self.folder / "openssl.cnf", *own),
            *("-keyfile", self.folder / f"{signer}.key", "-in", self.folder / f"{file}.csr"),
            *("-extfile", self.folder / f"{file}.ext", "-md", digest),
            *("-startdate", _stamp(starts_in), "-enddate", _stamp(ends_in)),
            *("-out", self.folder / f"{file}.pem"),
        )
        return Certificate(self.folder / f"{file}.pem", self.folder / f"{file}.key")

    def _key(self, file: str, kind: str) -> None:
        out = ("-out", self.folder / f"{file}.key")
        if kind == "ec":
            curve = ("-pkeyopt", "ec_paramgen_curve:P-256")
            self._openssl("genpkey", "-algorithm", "EC", *curve, *out)
        else:
            bits = ("-pkeyopt", f"rsa_keygen_bits:{kind.removeprefix('rsa:')}")
            self._openssl("genpkey", "-algorithm", "RSA", *bits, *out)

    def _request(self, file: str, common_name: str) -> None:
        self._openssl(
            *("req", "-new", "-config", self.folder / "openssl.cnf", "-subj", f"/CN={common_name}"),
            *("-key", self.folder / f"{file}.key", "-out", self.folder / f"{file}.csr"),
        )

    @staticmethod
    def _openssl(*arguments: str | Path) -> None:
        command = ["openssl", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _stamp(away: timedelta) -> str:
    return (datetime.now(UTC) + away).strftime("%y%m%d%H%M%SZ")

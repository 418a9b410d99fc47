"""Two XRootD servers with TLS, third-party copy and two token authorities, on loopback and in private folders."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import pwd
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lake_servers import PATIENCE, free_port, listens, macaroon

RIGHTS = "DOWNLOAD,UPLOAD,DELETE,MANAGE,LIST,READ_METADATA"


@dataclass
class Authority:
    """A certificate authority of one test session.

    Attributes:
        file: Its certificate (PEM).
        folder: The same under the name of its hash, with the signing policy that grid software wants.
    """

    file: Path
    folder: Path
    key: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)

    @classmethod
    def made(cls, folder: Path) -> Authority:
        """Return a new authority with its files in `folder`."""
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gemel test authority")])
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        certificate = (
            _dated(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        hashed = folder / "certificates"
        hashed.mkdir(parents=True)
        file = folder / "ca.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        command = ["openssl", "x509", "-in", str(file), "-noout", "-hash"]
        number = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        shutil.copy(file, hashed / f"{number}.0")
        (hashed / f"{number}.signing_policy").write_text(_POLICY)
        return cls(file, hashed, key, certificate)

    def issue(self, folder: Path) -> tuple[Path, Path]:
        """Return the files of a certificate for loopback and its key, both new in `folder`."""
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _dated(name, self.certificate.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        pem, secret = folder / "host.pem", folder / "host.key"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        secret.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
        )
        return pem, secret


def _dated(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=2))


_POLICY = """\
access_id_CA  X509    '/CN=gemel test authority'
pos_rights    globus  CA:sign
cond_subjects globus  '"*"'
"""


@dataclass
class Site:
    """One XRootD server with TLS; only `/private`, with a macaroon of its own secret.

    Attributes:
        name: Of the site; its macaroons say it as their location.
        url: Of `/private`.
        folder: Where the files of `/private` lie.
        key: The secret of its macaroons.
        options: For a storage with a token for all of `/private`.
        profile: Options of a profile of the kind `macaroon` that mints with the server's secret.
    """

    name: str
    place: Path
    port: int
    key: bytes = field(repr=False)
    authority: Authority = field(repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/private"

    @property
    def folder(self) -> Path:
        return self.place / "data" / "private"

    @property
    def options(self) -> dict[str, str]:
        return {"url": self.url, "token": f"file:{self.place / 'token'}", "ca": str(self.authority.file)}

    @property
    def profile(self) -> dict[str, str]:
        return {"secret": f"file:{self.place / 'secret'}", "location": self.name}

    def mint(self, path: str = "/private", rights: str = RIGHTS, seconds: int = 600) -> str:
        """Return a macaroon that the server takes."""
        return macaroon(self.key, self.name, path, rights, seconds)

    def start(self) -> None:
        """Start it, on the port it always had; return when it answers."""
        command = ["xrootd", "-c", str(self.place / "xrootd.cf"), "-l", str(self.place / "xrootd.log"), "-n", "gemel"]
        if os.geteuid() == 0:  # it refuses root
            command = ["setpriv", "--reuid=xrootd", "--regid=xrootd", "--clear-groups", *command]
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.place)
        until = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                words = "".join(path.read_text()[-3000:] for path in self.place.rglob("*log") if path.is_file())
                pytest.fail(f"XRootD of {self.name} did not start: {words}")
            threading.Event().wait(0.02)

    def answers(self) -> bool:
        """Return whether it speaks HTTP by now: it listens before it can, and resets who comes too early."""
        if not listens(self.port):
            return False
        trust = ssl.create_default_context(cafile=self.authority.file)
        try:
            return httpx2.get(self.url, verify=trust, timeout=PATIENCE).status_code > 0
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """End it with SIGKILL, in the middle of whatever it does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()


@dataclass
class XrootdPair:
    """Two sites of different owners, which trust one authority for TLS and each other's tokens not at all."""

    a: Site
    b: Site
    authority: Authority = field(repr=False)


@pytest.fixture(scope="session")
def xrootd_pair() -> Iterator[XrootdPair]:
    """Yield two of Debian's XRootD servers over HTTPS that copy from each other, each with its own tokens."""
    if shutil.which("xrootd") is None:
        pytest.skip("XRootD is not installed (Debian packages `xrootd-server xrootd-server-plugins`)")
    with serving_pair() as pair:
        yield pair


@contextlib.contextmanager
def serving_pair() -> Iterator[XrootdPair]:
    """Yield the two servers, which end with the block."""
    # Not below pytest's own folder, which root alone may enter.
    folder = Path(tempfile.mkdtemp(prefix="gemel-xrootd-pair-", dir="/tmp"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        authority = Authority.made(folder)
        sites = [_site(folder, name, authority) for name in ("site-a", "site-b")]
        _hand_over(folder)
        for site in sites:
            stack.callback(site.kill)
            site.start()
        yield XrootdPair(*sites, authority)


def _site(folder: Path, name: str, authority: Authority) -> Site:
    place = folder / name
    (place / "data" / "private").mkdir(parents=True)
    (place / "data" / "public").mkdir()
    site = Site(name, place, free_port(), secrets.token_bytes(64), authority)
    (place / "secret").write_bytes(base64.encodebytes(site.key))  # OpenSSL reads no long lines
    (place / "rights").write_text("u * /public rl\n")
    authority.issue(place)
    # XRootD takes no macaroon that lasts longer than a day.
    (place / "token").write_text(site.mint(seconds=80_000))
    text = _XROOTD.format(place=place, port=site.port, site=name, certificates=authority.folder)
    (place / "xrootd.cf").write_text(text)
    return site


def _hand_over(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o400)
        if os.geteuid() == 0:
            user = pwd.getpwnam("xrootd")
            os.chown(path, user.pw_uid, user.pw_gid)


_XROOTD = """\
all.export /
oss.localroot {place}/data
all.adminpath {place}/admin
all.pidpath {place}/admin
all.sitename {site}
xrd.port {port}
xrd.protocol http:{port} libXrdHttp.so
xrd.tls {place}/host.pem {place}/host.key
xrd.tlsca certdir {certificates}
http.desthttps yes
http.selfhttps2http no
http.listingdeny no
http.exthandler xrdtpc libXrdHttpTPC.so
http.exthandler xrdmacaroons libXrdMacaroons.so
http.header2cgi Authorization authz
macaroons.secretkey {place}/secret
ofs.authlib libXrdMacaroons.so
ofs.authorize 1
acc.authdb {place}/rights
xrootd.chksum adler32
"""

"""Reads just enough of an SSH key to say which one it is.

No cryptography is done here: the public half is read from where the private key's own format keeps
it in the clear. That keeps the library that could do more off the path of every ``sync``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple

_ARMOR = re.compile(
    rb"\s*-----BEGIN (?P<label>[A-Z ]+)-----\r?\n(?P<body>.*?)\r?\n?-----END (?P=label)-----\s*",
    re.DOTALL,
)
_OPENSSH_MAGIC = b"openssh-key-v1\0"
_INTEGER, _SEQUENCE = 0x02, 0x30  # DER tags


class PublicKey(NamedTuple):
    """The public half of a key pair: the ``blob`` that SSH sends on the wire (RFC 4253, 6.6)."""

    blob: bytes

    @property
    def algorithm(self) -> str:
        """``ED25519``, ``RSA``, or SSH's own name of another algorithm."""
        name = _take_string(self.blob)[0].decode("ascii", "replace")
        return {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}.get(name, name)

    @property
    def bits(self) -> int | None:
        """The size of an RSA key, that of its modulus (RFC 4253, 6.6); None for others."""
        if self.algorithm != "RSA":
            return None
        _name, rest = _take_string(self.blob)
        _exponent, rest = _take_string(rest)
        return int.from_bytes(_take_string(rest)[0], "big").bit_length()

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the blob."""
        return hashlib.sha256(self.blob).digest()

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it: ``SHA256:`` and unpadded base64."""
        return "SHA256:" + base64.b64encode(self.digest).decode().rstrip("=")


class PrivateKeyFile(NamedTuple):
    """What a private key file says of itself without its passphrase."""

    public_key: PublicKey
    has_passphrase: bool


def parse_public_key(line: str) -> PublicKey | None:
    """The key of a line as in ``authorized_keys`` ("type base64 comment"), or None."""
    words = line.split()
    try:
        blob = base64.b64decode(words[1], validate=True)
        if _take_string(blob)[0] == words[0].encode():
            return PublicKey(blob)
    except (IndexError, ValueError):
        pass
    return None


def parse_private_key(data: bytes) -> PrivateKeyFile | None:
    """The key in ``data``, or None where it is in no form read here.

    Read are OpenSSH's own form (PROTOCOL.key of OpenSSH), with or without a passphrase, and RSA
    keys as PKCS#1 in PEM without one (RFC 8017, A.1.2): the forms of the keys this project makes.
    """
    armor = _ARMOR.fullmatch(data)
    if armor is None:
        return None
    try:
        body = base64.b64decode(b"".join(armor["body"].split()), validate=True)
        if armor["label"] == b"OPENSSH PRIVATE KEY":
            return _openssh(body)
        if armor["label"] == b"RSA PRIVATE KEY":
            return PrivateKeyFile(_pkcs1_public(body), has_passphrase=False)
    except ValueError:
        pass
    return None


def _openssh(body: bytes) -> PrivateKeyFile:
    if not body.startswith(_OPENSSH_MAGIC):
        raise ValueError("not OpenSSH's form")
    cipher, rest = _take_string(body[len(_OPENSSH_MAGIC) :])
    _kdf_name, rest = _take_string(rest)
    _kdf_options, rest = _take_string(rest)
    blob, rest = _take_string(rest[4:])  # behind the number of keys, always 1
    private, rest = _take_string(rest)
    if cipher != b"none":
        return PrivateKeyFile(PublicKey(blob), has_passphrase=True)
    if private[:4] != private[4:8]:
        raise ValueError("two check numbers that differ")
    algorithm, rest = _take_string(private[8:])
    if algorithm == b"ssh-ed25519":
        public, rest = _take_string(rest)
        secret, rest = _take_string(rest)  # the seed, and the public key again
        if blob != _string(algorithm) + _string(public) or secret[32:] != public:
            raise ValueError("halves that do not belong together")
    return PrivateKeyFile(PublicKey(blob), has_passphrase=False)


def _pkcs1_public(body: bytes) -> PublicKey:
    sequence, _ = _take_der(body, _SEQUENCE)
    numbers = []
    while sequence:
        number, sequence = _take_der(sequence, _INTEGER)
        numbers.append(number)
    _version, modulus, exponent, _private_exponent, p, q, *_ = numbers
    if int.from_bytes(p) * int.from_bytes(q) != int.from_bytes(modulus):
        raise ValueError("primes of another key")
    # DER and SSH write the same big-endian two's complement.
    return PublicKey(b"".join(_string(part) for part in (b"ssh-rsa", exponent, modulus)))


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def _take_string(data: bytes) -> tuple[bytes, bytes]:
    """SSH's string (RFC 4251, 5) at the start of ``data``, and what follows it."""
    size = int.from_bytes(data[:4])
    if len(data) < 4 + size:
        raise ValueError("cut short")
    return data[4 : 4 + size], data[4 + size :]


def _take_der(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the DER element ``tag`` at the start of ``data``, and what follows it."""
    if len(data) < 2 or data[0] != tag:  # noqa: PLR2004  a tag and a length
        raise ValueError("another element")
    size, head = data[1], 2
    if size & 0x80:
        head += size & 0x7F
        size = int.from_bytes(data[2:head])
    if len(data) < head + size:
        raise ValueError("cut short")
    return data[head : head + size], data[head + size :]

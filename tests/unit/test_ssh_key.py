"""Which key is it: read from its file without its passphrase, as ssh-keygen would say."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest

from sync.ssh_key import parse_private_key, parse_public_key
from tests.stacks import key_pair

if TYPE_CHECKING:
    from pathlib import Path


def generate(path: Path, *options: str) -> bytes:
    subprocess.run(["ssh-keygen", "-q", "-f", path, *options], check=True)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("options", "algorithm", "has_passphrase"),
    [
        (("-t", "ed25519", "-N", ""), "ED25519", False),
        (("-t", "ed25519", "-N", "a passphrase"), "ED25519", True),
        (("-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""), "RSA", False),
        (("-t", "rsa", "-b", "2048", "-N", ""), "RSA", False),
        (("-t", "ecdsa", "-N", ""), "ecdsa-sha2-nistp256", False),
    ],
)
def test_a_key_file_of_ssh_keygen_is_read(
    tmp_path: Path, options: tuple[str, ...], algorithm: str, *, has_passphrase: bool
) -> None:
    path = tmp_path / "key"
    found = parse_private_key(generate(path, *options))
    assert found is not None
    assert found.has_passphrase is has_passphrase
    assert found.public_key.algorithm == algorithm
    assert found.public_key == parse_public_key(path.with_suffix(".pub").read_text())
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", path.with_suffix(".pub")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.public_key.fingerprint == listed.stdout.split()[1]


@pytest.mark.parametrize("algorithm", ["ED25519", "RSA"])
def test_the_keys_of_the_program_are_read(algorithm: str) -> None:
    private, public = key_pair("production", algorithm)
    found = parse_private_key(private.encode())
    assert found is not None
    assert found.public_key == parse_public_key(public)


@pytest.mark.parametrize("algorithm", ["ED25519", "RSA"])
def test_a_key_cut_short_anywhere_is_no_key(algorithm: str) -> None:
    lines = key_pair("production", algorithm)[0].encode().splitlines(keepends=True)
    for count in range(len(lines) - 1):
        assert parse_private_key(b"".join(lines[:count] + lines[-1:])) is None


@pytest.mark.parametrize("place", [-24, -80, -150])
def test_a_damaged_private_half_is_no_key(place: int) -> None:
    lines = key_pair("production")[0].encode().splitlines(keepends=True)
    body = bytearray(base64.b64decode(b"".join(lines[1:-1])))
    body[place] ^= 1
    damaged = lines[0] + base64.encodebytes(bytes(body)) + lines[-1]
    assert parse_private_key(damaged) is None


def test_a_private_half_of_two_check_numbers_that_differ_is_no_key() -> None:
    lines = key_pair("production")[0].encode().splitlines(keepends=True)
    body = bytearray(base64.b64decode(b"".join(lines[1:-1])))
    body[body.rindex(b"\0\0\0\x0bssh-ed25519") - 1] ^= 1
    assert parse_private_key(lines[0] + base64.encodebytes(bytes(body)) + lines[-1]) is None


def test_rsa_primes_of_another_key_are_no_key() -> None:
    lines = key_pair("production", "RSA")[0].encode().splitlines(keepends=True)
    body = bytearray(base64.b64decode(b"".join(lines[1:-1])))
    body[600] ^= 1
    assert parse_private_key(lines[0] + base64.encodebytes(bytes(body)) + lines[-1]) is None


@pytest.mark.parametrize(
    "text", ["", "ssh-ed25519", "ssh-rsa AAAA", "ssh-rsa !", "ssh-ed25519 AAAAB3NzaC1yc2E="]
)
def test_what_is_no_public_key_is_none(text: str) -> None:
    assert parse_public_key(text) is None

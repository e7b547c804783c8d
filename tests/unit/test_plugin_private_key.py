"""The stand-in for tls.PrivateKey, held against cryptography's loaders and OpenSSH."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
)

from sandbox.plugins.decisions import check
from sandbox.plugins.tls.private_key import PrivateKey

if TYPE_CHECKING:
    from pathlib import Path

KINDS: dict[str, dict[str, Any]] = {
    "RSA": {"algorithm": "RSA", "rsaBits": 2048},
    "ECDSA": {"algorithm": "ECDSA", "ecdsaCurve": "P256"},
    "ED25519": {"algorithm": "ED25519"},
    "P224": {"algorithm": "ECDSA"},  # the default curve, which ssh does not know
}


def make(kind: str) -> dict[str, Any]:
    checked, failures = check(PrivateKey(), "x", {}, KINDS[kind], b"")
    assert not failures
    return PrivateKey().create(checked).properties


@pytest.fixture(scope="module", params=["RSA", "ECDSA", "ED25519"])
def properties(request: pytest.FixtureRequest) -> dict[str, Any]:
    return make(request.param)


def test_all_forms_are_the_same_key(properties: dict[str, Any]) -> None:
    keys = [
        load_pem_private_key(properties["privateKeyPem"].encode(), None).public_key(),
        load_pem_private_key(properties["privateKeyPemPkcs8"].encode(), None).public_key(),
        load_ssh_private_key(properties["privateKeyOpenssh"].encode(), None).public_key(),
        load_pem_public_key(properties["publicKeyPem"].encode()),
    ]
    lines = {key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() for key in keys}
    assert lines == {properties["publicKeyOpenssh"].removesuffix("\n")}


def test_every_output_is_there_and_ends_as_the_real_plugins_does(
    properties: dict[str, Any],
) -> None:
    for name in PrivateKey.outputs:
        assert properties[name].endswith("\n") == (not name.startswith("publicKeyFingerprint"))


@pytest.mark.parametrize(
    ("kind", "header"),
    [("RSA", "RSA PRIVATE KEY"), ("ECDSA", "EC PRIVATE KEY"), ("ED25519", "PRIVATE KEY")],
)
def test_the_pem_form_is_the_algorithms_own(kind: str, header: str) -> None:
    assert make(kind)["privateKeyPem"].startswith(f"-----BEGIN {header}-----\n")


@pytest.mark.parametrize("digest", ["Md5", "Sha256"])
def test_fingerprints_are_those_of_openssh(
    properties: dict[str, Any], digest: str, tmp_path: Path
) -> None:
    public = tmp_path / "key.pub"
    public.write_text(properties["publicKeyOpenssh"])
    command = ["ssh-keygen", "-l", "-E", digest.lower(), "-f", str(public)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split()[1].removeprefix("MD5:") == properties[f"publicKeyFingerprint{digest}"]


def test_the_id_is_a_sha1_and_every_key_is_another() -> None:
    inputs = {"algorithm": "ED25519", "ecdsaCurve": "P224", "rsaBits": 2048}
    one, other = PrivateKey().create(inputs), PrivateKey().create(inputs)
    assert len(one.id) == 40
    assert one.id != other.id


def test_a_curve_that_ssh_does_not_know_has_no_ssh_forms() -> None:
    properties = make("P224")
    assert properties["ecdsaCurve"] == "P224"
    assert properties["publicKeyOpenssh"] == properties["privateKeyOpenssh"] == ""
    assert properties["privateKeyPem"].startswith("-----BEGIN EC PRIVATE KEY-----\n")

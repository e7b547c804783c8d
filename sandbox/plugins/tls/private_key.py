"""`tls:index/privateKey:PrivateKey`: a key pair that lives in the engine's state only."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, ClassVar

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sandbox.plugins.resource import Created, Input, Resource

if TYPE_CHECKING:
    from sandbox.plugins.wire import Properties

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}


def _one_of(*allowed: str) -> Input:
    def refuse(value: str) -> str | None:
        return None if value in allowed else f"must be one of {', '.join(allowed)}"

    return Input(required=True, replaces=True, refuse=refuse)


def _too_short(bits: int) -> str | None:
    # What Go's crypto/rsa takes since 1.24.
    return None if bits >= 1024 else "must be at least 1024"  # noqa: PLR2004 - said beside it


class PrivateKey(Resource):
    """Every input replaces: there is nothing to update."""

    inputs: ClassVar = {
        "algorithm": _one_of("RSA", "ECDSA", "ED25519"),
        "ecdsaCurve": Input(
            default="P224",
            replaces=True,
            refuse=lambda curve: (
                None if curve in _CURVES else f"must be one of {', '.join(_CURVES)}"
            ),
        ),
        "rsaBits": Input(int, default=2048, replaces=True, refuse=_too_short),
    }
    outputs = (
        "privateKeyOpenssh",
        "privateKeyPem",
        "privateKeyPemPkcs8",
        "publicKeyFingerprintMd5",
        "publicKeyFingerprintSha256",
        "publicKeyOpenssh",
        "publicKeyPem",
    )
    secrets = ("privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8")

    def create(self, inputs: Properties) -> Created:
        """Make the key. The id is the hash the real plugin takes."""
        key = _generate(inputs)
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        identity = hashlib.sha1(public, usedforsecurity=False).hexdigest()
        return Created(identity, {**inputs, **_private(key), **_public(key)})

    def read(self, resource_id: str, state: Properties) -> Properties | None:  # noqa: ARG002 - see Resource
        """Return the state: there is no other place to read from, so none to import from."""
        return state or None

    def update(self, resource_id: str, state: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - see Resource
        """Never called, as every input replaces."""
        return {**state, **inputs}

    def delete(self, resource_id: str, state: Properties) -> None:
        """Nothing to do: the key goes with the state."""


def _generate(inputs: Properties) -> Key:
    if inputs["algorithm"] == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=inputs["rsaBits"])
    if inputs["algorithm"] == "ECDSA":
        return ec.generate_private_key(_CURVES[inputs["ecdsaCurve"]]())
    return ed25519.Ed25519PrivateKey.generate()


def _private(key: Key) -> Properties:
    def pem(form: PrivateFormat) -> str:
        return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()

    # PKCS#1 for RSA and SEC 1 for ECDSA; ED25519 has no such form of its own.
    is_ed25519 = isinstance(key, ed25519.Ed25519PrivateKey)
    own = PrivateFormat.PKCS8 if is_ed25519 else PrivateFormat.TraditionalOpenSSL
    return {
        "privateKeyPem": pem(own),
        "privateKeyPemPkcs8": pem(PrivateFormat.PKCS8),
        "privateKeyOpenssh": pem(PrivateFormat.OpenSSH) if _known_to_ssh(key) else "",
    }


def _public(key: Key) -> Properties:
    public = key.public_key()
    properties = {
        "publicKeyPem": public.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ).decode(),
        "publicKeyOpenssh": "",
        "publicKeyFingerprintMd5": "",
        "publicKeyFingerprintSha256": "",
    }
    if _known_to_ssh(key):
        line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        blob = base64.b64decode(line.split()[1])
        sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        properties |= {
            "publicKeyOpenssh": f"{line}\n",
            "publicKeyFingerprintMd5": hashlib.md5(blob, usedforsecurity=False).digest().hex(":"),
            "publicKeyFingerprintSha256": f"SHA256:{sha256}",
        }
    return properties


def _known_to_ssh(key: Key) -> bool:
    return not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1))

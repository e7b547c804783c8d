"""Outputs of stacks that never were, with real keys made on the spot: no fixture holds a secret."""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from sync.stack import StackKeys, parse_outputs

ACCOUNT = "123456789012"


@functools.cache
def key_pair(stack: str, algorithm: str = "ED25519") -> tuple[str, str]:
    """Private and public key of a stack, in the forms that the program's outputs have."""
    private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if algorithm == "ED25519":
        private, shape = ed25519.Ed25519PrivateKey.generate(), form.PrivateFormat.OpenSSH
    else:
        private = rsa.generate_private_key(65537, 2048)
        shape = form.PrivateFormat.TraditionalOpenSSL
    public = private.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    pem = private.private_bytes(form.Encoding.PEM, shape, form.NoEncryption())
    return pem.decode(), f"{public.decode()} {stack}"


@functools.cache
def access_key(stack: str) -> tuple[str, str]:
    """An access key's id and its secret."""
    digest = hashlib.sha256(stack.encode()).hexdigest().upper()
    return f"AKIA{digest[:16]}", secrets.token_urlsafe(30)


def outputs(stack: str, algorithm: str = "ED25519", **changed: object) -> dict[str, Any]:
    """What ``pulumi stack output --json --show-secrets`` gives for ``stack``."""
    name = stack.rpartition("/")[2]
    private, public = key_pair(stack, algorithm)
    key_id, secret = access_key(stack)
    return {
        "key_name": name,
        "key_algorithm": algorithm,
        "public_key": public,
        "private_key": private,
        "user_name": name,
        "user_arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "account_id": ACCOUNT,
        "region": "us-west-2",
        "access_key_id": key_id,
        "secret_access_key": secret,
        "policy_name": "FullAccess",
        "policy_document": "{}",
    } | changed


def stack_keys(
    stack: str = "production", algorithm: str = "ED25519", **changed: object
) -> StackKeys:
    """The same, as sync knows it."""
    return parse_outputs(stack, json.dumps(outputs(stack, algorithm, **changed)))


def rotated(stack: str = "production") -> StackKeys:
    """The keys of ``stack`` after both its key pair and its access key were replaced."""
    return stack_keys(f"rotated/{stack}")


def rotating(stack: str = "production", status: str = "Active") -> StackKeys:
    """The keys of ``stack`` while both its keys are being replaced."""
    key_id, secret = access_key(f"previous/{stack}")
    return stack_keys(
        stack,
        access_key_generation=2,
        previous_access_key=status,
        previous_access_key_id=key_id,
        previous_secret_access_key=secret,
        key_pair_generation=2,
        previous_private_key=key_pair(f"previous/{stack}")[0],
    )

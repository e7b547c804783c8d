"""An SSH key pair whose public half EC2 knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import pulumi
import pulumi_tls as tls

# From its own module: the package pulumi_aws.ec2 takes half a second to import.
from pulumi_aws.ec2.key_pair import KeyPair

from components.limits import Algorithm
from components.rotation import Rotation, resource_name

T = TypeVar("T")

TYPE: Final = "aws-keys:index:SshKeyPair"


@dataclass(frozen=True, kw_only=True)
class SshKeyPairArgs:
    """What an SshKeyPair takes.

    key_name: name of the key pair in EC2, unique in its region.
    algorithm: ED25519, or RSA, which Windows instances need; of the keys that are yet to be made.
    rsa_bits: size of such a key in bits; of no meaning for ED25519.
    tags: of the key pair in EC2.
    rotation: which generations of the private key are kept.
    """

    key_name: str
    algorithm: Algorithm
    rsa_bits: int
    tags: Mapping[str, str]
    rotation: Rotation


class SshKeyPair(pulumi.ComponentResource):
    """A private key, made and kept by the engine, and the EC2 key pair of its public key.

    Each generation of the key stays what it was made as: machines that run know no other. While
    the generation before is kept, nothing in the component is protected, whatever the component
    is: the engine deletes only what was unprotected by an earlier update.

    key_name: name of the key pair in EC2.
    key_algorithm: ED25519 or RSA.
    rsa_bits: size of the key in bits; None inside where the algorithm is ED25519.
    public_key: one line in OpenSSH's format, without a comment and a newline.
    private_key: secret; what `ssh` reads, with a newline at its end. For ED25519 OpenSSH's own
        format, since older clients do not read such a key in PKCS#8; for RSA PEM (PKCS#1).
    previous_private_key: secret; likewise of the generation before. None when it is not kept.
    """

    key_name: pulumi.Output[str]
    key_algorithm: pulumi.Output[str]
    rsa_bits: pulumi.Output[int | None]
    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str]
    previous_private_key: pulumi.Output[str] | None

    def __init__(
        self, name: str, args: SshKeyPairArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(TYPE, name, None, opts)
        generation, is_kept = args.rotation.generation, bool(args.rotation.previous)
        protect = False if is_kept else None

        def private_key(generation: int) -> tls.PrivateKey:
            return tls.PrivateKey(
                resource_name(name, generation),
                algorithm=args.algorithm,
                rsa_bits=args.rsa_bits if args.algorithm == "RSA" else None,
                opts=pulumi.ResourceOptions(
                    parent=self, protect=protect, ignore_changes=["algorithm", "rsaBits"]
                ),
            )

        current = private_key(generation)
        previous = private_key(generation - 1) if is_kept else None
        # EC2 gives the key back without the newline: with one, every refresh shows a difference.
        self.public_key = current.public_key_openssh.apply(str.strip)
        key_pair = KeyPair(
            name,
            key_name=args.key_name,
            public_key=self.public_key,
            tags=args.tags,
            # The name is fixed, and EC2 refuses a second key pair of that name.
            opts=pulumi.ResourceOptions(parent=self, protect=protect, delete_before_replace=True),
        )

        self.key_name = key_pair.key_name
        self.key_algorithm = current.algorithm
        self.rsa_bits = _if_rsa(current, current.rsa_bits, None)
        self.private_key = _for_ssh(current)
        self.previous_private_key = _for_ssh(previous) if previous else None
        self.register_outputs(
            {
                "key_name": self.key_name,
                "key_algorithm": self.key_algorithm,
                "rsa_bits": self.rsa_bits,
                "public_key": self.public_key,
                "private_key": self.private_key,
                "previous_private_key": self.previous_private_key,
            }
        )


def _for_ssh(key: tls.PrivateKey) -> pulumi.Output[str]:
    return pulumi.Output.secret(_if_rsa(key, key.private_key_pem, key.private_key_openssh))


def _if_rsa(
    key: tls.PrivateKey, then: pulumi.Input[T], otherwise: pulumi.Input[T]
) -> pulumi.Output[T]:
    """Choose by what the key is, which need not be what the config now says."""
    return key.algorithm.apply(lambda algorithm: then if algorithm == "RSA" else otherwise)

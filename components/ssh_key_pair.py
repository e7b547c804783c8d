"""An SSH key pair whose public half EC2 knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_tls as tls

# From its own module: the package pulumi_aws.ec2 takes half a second to import.
from pulumi_aws.ec2.key_pair import KeyPair

from components.limits import Algorithm

TYPE: Final = "aws-keys:index:SshKeyPair"


@dataclass(frozen=True, kw_only=True)
class SshKeyPairArgs:
    """What an SshKeyPair takes.

    key_name: name of the key pair in EC2, unique in its region.
    algorithm: ED25519, or RSA, which Windows instances need.
    rsa_bits: size of the key in bits; of no meaning for ED25519.
    tags: of the key pair in EC2.
    """

    key_name: str
    algorithm: Algorithm
    rsa_bits: int
    tags: Mapping[str, str]


class SshKeyPair(pulumi.ComponentResource):
    """A private key, made and kept by the engine, and the EC2 key pair of its public key.

    key_name: name of the key pair in EC2.
    key_algorithm: ED25519 or RSA.
    public_key: one line in OpenSSH's format, without a comment and a newline.
    private_key: secret; what `ssh` reads, with a newline at its end. For ED25519 OpenSSH's own
        format, since older clients do not read such a key in PKCS#8; for RSA PEM (PKCS#1).
    """

    key_name: pulumi.Output[str]
    key_algorithm: pulumi.Output[str]
    public_key: pulumi.Output[str]
    private_key: pulumi.Output[str]

    def __init__(
        self, name: str, args: SshKeyPairArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(TYPE, name, None, opts)
        is_rsa = args.algorithm == "RSA"

        private_key = tls.PrivateKey(
            name,
            algorithm=args.algorithm,
            rsa_bits=args.rsa_bits if is_rsa else None,
            opts=pulumi.ResourceOptions(parent=self),
        )
        # EC2 gives the key back without the newline: with one, every refresh shows a difference.
        self.public_key = private_key.public_key_openssh.apply(str.strip)
        key_pair = KeyPair(
            name,
            key_name=args.key_name,
            public_key=self.public_key,
            tags=args.tags,
            # The name is fixed, and EC2 refuses a second key pair of that name.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

        self.key_name = key_pair.key_name
        self.key_algorithm = private_key.algorithm
        self.private_key = pulumi.Output.secret(
            private_key.private_key_pem if is_rsa else private_key.private_key_openssh
        )
        self.register_outputs(
            {
                "key_name": self.key_name,
                "key_algorithm": self.key_algorithm,
                "public_key": self.public_key,
                "private_key": self.private_key,
            }
        )

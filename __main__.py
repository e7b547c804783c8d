"""An SSH key pair and an IAM user with access keys, one of each for a stack.

The outputs are flat scalars, so that whoever reads them needs no more than
`pulumi stack output --json --show-secrets`.
"""

import signal

import pulumi

from components.access_user import AccessUser, AccessUserArgs
from components.account import Account
from components.deployed import check_deployed
from components.settings import Settings
from components.ssh_key_pair import SshKeyPair, SshKeyPairArgs

# Where an update fails, the engine interrupts the program that waits for it. It tells the reason
# itself; a traceback of ours would hide that.
signal.signal(signal.SIGINT, signal.SIG_DFL)

# What can be wrong is found out before anything is registered.
settings = Settings.from_config()
check_deployed(settings)
region = pulumi.Config("aws").require("region")
account = Account.of_provider()
# Set on the components, inherited by all they hold: one child left out would be deleted before
# `pulumi destroy` meets a protected one.
opts = pulumi.ResourceOptions(protect=settings.protect)

key_pair = SshKeyPair(
    "ssh",
    SshKeyPairArgs(
        key_name=settings.key_name,
        algorithm=settings.key_algorithm,
        rsa_bits=settings.rsa_bits,
        tags=settings.tags,
        rotation=settings.key_pair,
    ),
    opts,
)
user = AccessUser(
    "access",
    AccessUserArgs(
        account=account,
        user_name=settings.user_name,
        policy_name=settings.policy_name,
        policy=settings.policy,
        tags=settings.tags,
        force_destroy=settings.force_destroy,
        access_key=settings.access_key,
    ),
    opts,
)

outputs = {
    "rotation_step": settings.rotation_step,
    "key_name": key_pair.key_name,
    "key_algorithm": key_pair.key_algorithm,
    "rsa_bits": key_pair.rsa_bits,
    "public_key": key_pair.public_key,
    "private_key": key_pair.private_key,
    "key_pair_generation": settings.key_pair.generation,
    "previous_private_key": key_pair.previous_private_key,
    "user_name": user.user_name,
    "user_arn": user.user_arn,
    "account_id": account.account_id,
    "region": region,
    "access_key_id": user.access_key_id,
    "secret_access_key": user.secret_access_key,
    "access_key_generation": settings.access_key.generation,
    "previous_access_key": settings.access_key.previous or None,
    "previous_access_key_id": user.previous_access_key_id,
    "previous_secret_access_key": user.previous_secret_access_key,
    "policy_name": user.policy_name,
    "policy_document": user.policy_document,
}
# What is None, now or once it is known, is no output.
for name, value in outputs.items():
    pulumi.export(name, value)

"""What IAM and EC2 know of a stack's user and key pair.

It is asked with the credentials of whoever runs ``pulumi up``: those of the environment, of
AWS_PROFILE, or of the default profile. Not to be allowed to look is an answer, `NotAllowed`, and so
is `Gone`; whoever handles these does so before `AccountError`.
"""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from sync import aws
from sync.identity import Identity
from sync.ssh_key import PublicKey, parse_public_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import boto3
    from botocore.loaders import Loader
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import KeyPairInfoTypeDef
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sts import STSClient

_QUARANTINE = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/(AWSCompromisedKeyQuarantine\w*)")
_USER = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:user/.+")
_ASSUMED_ROLE = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([^/]+)/.+")
_NOT_GONE = ["pending", "running", "stopping", "stopped"]
_NO_SUCH_PAIR = "InvalidKeyPair.NotFound"


class AccountError(Exception):
    """Why AWS gave no answer, in one line for the user; no part of it is secret."""


class NoCredentialsError(AccountError):
    """There are no credentials to ask with."""


class NotAllowed(AccountError):  # noqa: N818  not a fault
    """An answer: whoever asks is not allowed to know, or to do, this."""


class Gone(AccountError):  # noqa: N818  not a fault
    """An answer: IAM has no such user."""


class LastUse(NamedTuple):
    """The last use of an access key that AWS knows of."""

    date: datetime
    service: str
    region: str


class AccessKey(NamedTuple):
    """An access key of a user. Its id is no secret, but is shown masked."""

    access_key_id: str
    is_active: bool
    created: datetime
    last_used: LastUse | None


class Instance(NamedTuple):
    """An EC2 instance that was launched with a key pair, and is not gone."""

    id: str
    launched: datetime


class Ambient:
    """The credentials of whoever runs this, and clients that use them, made once each."""

    def __init__(self, loader: Loader | None = None) -> None:
        self._loader = loader
        self._session: boto3.Session | None = None
        self._has_credentials = False
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()  # a session is not made for several threads, a client is

    def iam(self, region: str) -> IAMClient:
        """A client of IAM. IAM is one for all regions of a partition, which ``region`` tells."""
        client: IAMClient = self._client("iam", region)
        return client

    def ec2(self, region: str) -> EC2Client:
        """A client of EC2 in ``region``."""
        client: EC2Client = self._client("ec2", region)
        return client

    def sts(self, region: str) -> STSClient:
        """A client of STS in ``region``."""
        client: STSClient = self._client("sts", region)
        return client

    def _client(self, service: str, region: str) -> Any:  # noqa: ANN401  one of three, see above
        with self._lock, _explained():
            if self._session is None:
                session = aws.session(self._loader)
                if not session.region_name:  # a role is assumed in one
                    session = aws.session(self._loader, region=region)
                self._has_credentials = session.get_credentials() is not None
                self._session = session
            if not self._has_credentials:
                raise NoCredentialsError(
                    "no AWS credentials to look with: as for 'pulumi up', set them in the "
                    "environment or name a profile in AWS_PROFILE"
                )
            if (service, region) not in self._clients:
                client: Any = self._session.client  # typed by literals only
                self._clients[service, region] = client(
                    service, region_name=region, config=aws.config()
                )
            return self._clients[service, region]


class Account:
    """An AWS account in ``region``, asked as ``ambient``.

    Every method raises `NotAllowed`, or `AccountError` for what else gave no answer.
    """

    def __init__(self, region: str, ambient: Ambient | None = None) -> None:
        self._region = region
        self._ambient = ambient or Ambient()

    def caller(self) -> Identity:
        """Who asks."""
        with _explained():
            answer = self._ambient.sts(self._region).get_caller_identity()
        return Identity(answer["Account"], answer["Arn"])

    def access_keys(self, user_name: str) -> list[AccessKey]:
        """All access keys of a user, oldest first."""
        iam = self._ambient.iam(self._region)
        keys = []
        with _explained():
            for page in iam.get_paginator("list_access_keys").paginate(UserName=user_name):
                for key in page["AccessKeyMetadata"]:
                    key_id = key["AccessKeyId"]
                    used = iam.get_access_key_last_used(AccessKeyId=key_id)["AccessKeyLastUsed"]
                    keys.append(
                        AccessKey(
                            key_id,
                            key["Status"] == "Active",
                            key["CreateDate"],
                            LastUse(used["LastUsedDate"], used["ServiceName"], used["Region"])
                            if "LastUsedDate" in used
                            else None,
                        )
                    )
        return sorted(keys, key=lambda key: key.created)

    def user_id(self, user_name: str) -> str:
        """The user's unique id, which a user made anew under the same name does not have."""
        with _explained():
            return self._ambient.iam(self._region).get_user(UserName=user_name)["User"]["UserId"]

    def quarantine(self, user_name: str) -> str | None:
        """The policy that AWS attached since it found the user's keys in public, if it did.

        One of AWSCompromisedKeyQuarantine, ...V2 and ...V3 (AWS Managed Policy Reference).
        """
        iam = self._ambient.iam(self._region)
        with _explained():
            for page in iam.get_paginator("list_attached_user_policies").paginate(
                UserName=user_name
            ):
                for policy in page["AttachedPolicies"]:
                    if found := _QUARANTINE.fullmatch(policy["PolicyArn"]):
                        return found[1]
        return None

    def public_key(self, key_name: str) -> PublicKey | None:
        """The key that EC2 has under ``key_name``; None where it has none of that name."""
        pair = self._key_pair(key_name)
        if pair is None:
            return None
        key = parse_public_key(pair.get("PublicKey", ""))
        if key is None:
            raise AccountError(f"EC2 tells no public key of key pair {key_name}")
        return key

    def key_pair_created(self, key_name: str) -> datetime | None:
        """When EC2 was given the key under ``key_name``; None where it has none of that name."""
        pair = self._key_pair(key_name)
        return pair["CreateTime"] if pair else None

    def _key_pair(self, key_name: str) -> KeyPairInfoTypeDef | None:
        from botocore.exceptions import ClientError

        ec2 = self._ambient.ec2(self._region)
        with _explained():
            try:
                found = ec2.describe_key_pairs(KeyNames=[key_name], IncludePublicKey=True)
            except ClientError as error:
                if aws.code_of(error) != _NO_SUCH_PAIR:
                    raise
                return None
        return next(iter(found["KeyPairs"]), None)

    def running_instances(self, key_name: str) -> list[Instance]:
        """The instances launched with ``key_name`` that are not terminated, oldest first."""
        pages = self._ambient.ec2(self._region).get_paginator("describe_instances")
        with _explained():
            found = [
                Instance(instance["InstanceId"], instance["LaunchTime"])
                for page in pages.paginate(
                    Filters=[
                        {"Name": "key-name", "Values": [key_name]},
                        {"Name": "instance-state-name", "Values": _NOT_GONE},
                    ]
                )
                for reservation in page["Reservations"]
                for instance in reservation["Instances"]
            ]
        return sorted(found, key=lambda instance: instance.launched)

    def delete_access_key(self, user_name: str, access_key_id: str) -> None:
        """Delete an access key; one that is gone already is as good."""
        from botocore.exceptions import ClientError

        iam = self._ambient.iam(self._region)
        with _explained():
            try:
                iam.delete_access_key(UserName=user_name, AccessKeyId=access_key_id)
            except ClientError as error:
                if aws.code_of(error) != "NoSuchEntity":
                    raise

    def delete_key_pair(self, key_name: str) -> None:
        """Delete a key pair; one that is gone already is as good."""
        from botocore.exceptions import ClientError

        ec2 = self._ambient.ec2(self._region)
        with _explained():
            try:
                ec2.delete_key_pair(KeyName=key_name)
            except ClientError as error:
                if aws.code_of(error) != _NO_SUCH_PAIR:
                    raise

    def denied(
        self, caller_arn: str, actions: Sequence[str], resources: Sequence[str]
    ) -> list[str]:
        """Those of ``actions`` that policies deny ``caller_arn`` on any of ``resources``.

        Actions on different kinds of resources are asked for separately: each is tried on every
        one. An empty list says nothing where AWS cannot tell: for root, who is not simulated, for
        a caller that may not simulate, and where the answer hangs on what only the real call has,
        such as MFA.
        """
        from botocore.exceptions import ClientError

        principal = principal_arn(caller_arn)
        if principal is None:
            return []
        iam = self._ambient.iam(self._region)
        denied = set()
        with _explained():
            try:
                for page in iam.get_paginator("simulate_principal_policy").paginate(
                    PolicySourceArn=principal,
                    ActionNames=list(actions),
                    ResourceArns=list(resources),
                ):
                    denied |= {
                        result["EvalActionName"]
                        for result in page["EvaluationResults"]
                        if result["EvalDecision"] != "allowed"
                        and not result.get("MissingContextValues")
                    }
            except ClientError:  # not allowed to ask, or AWS does not know the principal
                return []
        return [action for action in actions if action in denied]


def principal_arn(caller_arn: str) -> str | None:
    """The IAM user or role behind an ARN of STS; None for what IAM cannot simulate, such as root.

    A role's path is not in STS's ARN; IAM does not find a role that has one, which `Account.denied`
    takes for "cannot tell".
    """
    if _USER.fullmatch(caller_arn):
        return caller_arn
    role = _ASSUMED_ROLE.fullmatch(caller_arn)
    return role and f"arn:{role[1]}:iam::{role[2]}:role/{role[3]}"


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn botocore's errors into ours."""
    from botocore.exceptions import ClientError
    from botocore.exceptions import NoCredentialsError as NoneFound

    try:
        yield
    except ClientError as error:
        if aws.code_of(error) in aws.NOT_ALLOWED:
            raise NotAllowed(f"not allowed to call {error.operation_name}") from None
        kind = Gone if aws.code_of(error) == "NoSuchEntity" else AccountError
        raise kind(aws.explain(error)) from None
    except NoneFound as error:
        raise NoCredentialsError(aws.explain(error)) from None
    except aws.errors() as error:
        raise AccountError(aws.explain(error)) from None

"""Whom the stand-in for the aws plugin calls AWS as, and where."""

from __future__ import annotations

import json
import os
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any

from sandbox.plugins.resource import Failure, PluginError

if TYPE_CHECKING:
    from types import TracebackType

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sts import STSClient
    from mypy_boto3_sts.type_defs import GetCallerIdentityResponseTypeDef

    from sandbox.plugins.wire import Properties

_STRUCTURED = {"allowedAccountIds", "forbiddenAccountIds", "defaultTags"}  # sent as JSON
_SETTINGS = _STRUCTURED | {"region", "profile"}
_FROM_ENGINE = {"version", "pluginDownloadURL"}


class Session:
    """The provider's configuration, and clients made from it when they are first needed.

    Credentials and the endpoint come from the environment, as boto3 and the real plugin read it.
    """

    def __init__(self) -> None:
        self.settings: Properties = {}
        # boto3 makes one client at a time: its session is not safe to share between threads.
        self._lock = RLock()
        self._clients: dict[str, Any] = {}

    @staticmethod
    def check(settings: Properties) -> list[Failure]:
        """Refuse what the real plugin knows and this one does not, rather than ignore it."""
        return [
            Failure(name, "is not a setting of the sandbox's stand-in for the aws plugin")
            for name in settings.keys() - _SETTINGS - _FROM_ENGINE
        ]

    def configure(self, settings: Properties) -> None:
        """Take the settings and look whose credentials these are.

        Raises PluginError without a region, with credentials AWS refuses, and in an account that
        `allowedAccountIds` or `forbiddenAccountIds` keeps out.
        """
        self.settings = {
            name: json.loads(value) if name in _STRUCTURED and isinstance(value, str) else value
            for name, value in settings.items()
        }
        if not self.region:
            raise PluginError("no AWS region: set aws:region or AWS_REGION")
        account = self.account
        allowed = self._accounts("allowedAccountIds")
        if (allowed and account not in allowed) or account in self._accounts("forbiddenAccountIds"):
            raise PluginError(f"AWS account ID not allowed: {account}")

    def _accounts(self, name: str) -> list[str]:
        # `pulumi config set --path` stores what looks like a number as one.
        return [str(account) for account in self.settings.get(name, [])]

    @property
    def region(self) -> str:
        """The region of resources that do not name one."""
        region: str = (
            self.settings.get("region")
            or os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION", "")
        )
        return region

    @property
    def default_tags(self) -> dict[str, str]:
        """Tags that every resource gets."""
        tags: dict[str, str] = self.settings.get("defaultTags", {}).get("tags", {})
        return tags

    @cached_property
    def identity(self) -> GetCallerIdentityResponseTypeDef:
        """Whose credentials these are."""
        with AwsCall("unable to validate AWS credentials"):
            who = self.sts.get_caller_identity()
        return who  # noqa: RET504 - as far as mypy knows, the block above might end early

    @property
    def account(self) -> str:
        """The account's number, 12 digits."""
        return self.identity["Account"]

    @property
    def partition(self) -> str:
        """The partition (`aws`, `aws-cn`, ...) that the credentials belong to."""
        return self.identity["Arn"].split(":")[1]

    @property
    def iam(self) -> IAMClient:
        """IAM, which is the same in every region."""
        client: IAMClient = self._client("iam", self.region)
        return client

    @property
    def sts(self) -> STSClient:
        """STS in the provider's region."""
        client: STSClient = self._client("sts", self.region)
        return client

    def ec2(self, region: str) -> EC2Client:
        """EC2 in a region."""
        client: EC2Client = self._client("ec2", region)
        return client

    def _client(self, service: str, region: str) -> Any:  # noqa: ANN401 - callers know its type
        import boto3  # noqa: PLC0415 - slow to import, so only once it is needed

        key = f"{service} {region}"
        with self._lock:
            if key not in self._clients:
                profile = self.settings.get("profile")
                session = boto3.Session(profile_name=profile, region_name=region)
                self._clients[key] = session.client(service)  # type: ignore[call-overload]  # any
            return self._clients[key]


class AwsCall:
    """A context for calls of AWS: an error within becomes `PluginError`.

    Its text is `what` was tried, AWS's error code and its message. An error with one of the codes
    in `unless` ends the block and goes no further.
    """

    def __init__(self, what: str, unless: tuple[str, ...] = ()) -> None:
        self.what = what
        self.unless = unless

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        if isinstance(error, ClientError):
            answer = error.response["Error"]
            if answer["Code"] in self.unless:
                return True
            raise PluginError(f"{self.what}: {answer['Code']}: {answer['Message']}") from None
        if isinstance(error, BotoCoreError):
            raise PluginError(f"{self.what}: {' '.join(str(error).split())}") from None
        return False

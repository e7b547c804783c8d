"""Calling the AWS of a sandbox as somebody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sts import STSClient

    from sandbox.world import World


@dataclass(frozen=True)
class Caller:
    """Somebody who calls the AWS of a world."""

    world: World
    key: str
    secret: str = field(repr=False)

    @classmethod
    def administrator(cls, world: World) -> Caller:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return cls(world, *(world.environment[name] for name in names))

    @property
    def iam(self) -> IAMClient:
        return self._session.client("iam", endpoint_url=self._endpoint)

    @property
    def sts(self) -> STSClient:
        return self._session.client("sts", endpoint_url=self._endpoint)

    @property
    def ec2(self) -> EC2Client:
        return self._session.client("ec2", endpoint_url=self._endpoint)

    @property
    def _endpoint(self) -> str:
        return self.world.environment["AWS_ENDPOINT_URL"]

    @property
    def _session(self) -> boto3.Session:
        return boto3.Session(self.key, self.secret, region_name="us-west-2")


def refusal(call: Callable[..., object], **arguments: str) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return str(raised.value.response["Error"]["Code"])

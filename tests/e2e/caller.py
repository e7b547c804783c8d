"""Calling the AWS of a sandbox as somebody."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.aws_server import AGE

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

    @cached_property
    def iam(self) -> IAMClient:
        return self._session.client("iam", endpoint_url=self._endpoint)

    @cached_property
    def sts(self) -> STSClient:
        return self._session.client("sts", endpoint_url=self._endpoint)

    @cached_property
    def ec2(self) -> EC2Client:
        return self._session.client("ec2", endpoint_url=self._endpoint)

    @property
    def _endpoint(self) -> str:
        return self.world.environment["AWS_ENDPOINT_URL"]

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(self.key, self.secret, region_name="us-west-2")


def refusal(call: Callable[..., object], **arguments: str) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return str(raised.value.response["Error"]["Code"])


def age(
    world: World,
    access_key_id: str,
    created: float | None = None,
    last_used: float | None = None,
) -> None:
    """Have a key made, and last used, so many seconds ago, whatever happened in truth."""
    asked = {
        "access_key_id": access_key_id,
        "created_seconds_ago": created,
        "last_used_seconds_ago": last_used,
    }
    request = urllib.request.Request(  # noqa: S310 - http, to the sandbox
        world.environment["AWS_ENDPOINT_URL"] + AGE,
        data=json.dumps(asked).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


def settle(world: World, user: str) -> None:
    """Have AWS take the keys of a user at once, as it does of itself some seconds later."""
    for key in Caller.administrator(world).iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
        age(world, key["AccessKeyId"], created=60)

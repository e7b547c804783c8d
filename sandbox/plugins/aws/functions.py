"""The functions of the aws plugin: whose account this is, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.plugins.resource import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.plugins.aws.session import Session
    from sandbox.plugins.wire import Properties


class Functions:
    """The functions, each from its arguments to its result."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get_caller_identity(self, _: Properties) -> Properties:
        """`aws:index/getCallerIdentity:getCallerIdentity`."""
        who = self.session.identity
        account = who["Account"]
        return {"id": account, "accountId": account, "arn": who["Arn"], "userId": who["UserId"]}

    def get_partition(self, _: Properties) -> Properties:
        """`aws:index/getPartition:getPartition`: the partition the region belongs to."""
        partition, _region = _find(self.session.region)
        suffix = partition["dnsSuffix"]
        return {
            "id": partition["partition"],
            "partition": partition["partition"],
            "dnsSuffix": suffix,
            "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
        }

    def get_region(self, arguments: Properties) -> Properties:
        """`aws:index/getRegion:getRegion`."""
        region = arguments.get("region") or arguments.get("name") or self.session.region
        partition, about = _find(region)
        return {
            "id": region,
            "region": region,
            "name": region,
            "description": about["description"],
            "endpoint": f"ec2.{region}.{partition['dnsSuffix']}",
        }


def _find(region: str) -> tuple[Properties, Properties]:
    for partition in _partitions():
        if region in partition["regions"]:
            return partition, partition["regions"][region]
    raise PluginError(f"no AWS region is called {region}")


def _partitions() -> Iterator[Properties]:
    """Yield the partitions of AWS from the table that comes with botocore."""
    from botocore.loaders import Loader  # noqa: PLC0415 - slow to import

    yield from Loader().load_data("endpoints")["partitions"]

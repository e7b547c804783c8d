"""The functions of the aws plugin: whose account this is, and in which part of AWS."""

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
        partition = _partition_of(self.session.region)
        suffix = partition["dnsSuffix"]
        return {
            "id": partition["partition"],
            "partition": partition["partition"],
            "dnsSuffix": suffix,
            "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
        }


def _partition_of(region: str) -> Properties:
    for partition in _partitions():
        if region in partition["regions"]:
            return partition
    raise PluginError(f"no AWS region is called {region}")


def _partitions() -> Iterator[Properties]:
    """Yield the partitions of AWS from the table that comes with botocore."""
    from botocore.loaders import Loader  # noqa: PLC0415 - slow to import

    yield from Loader().load_data("endpoints")["partitions"]

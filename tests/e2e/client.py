"""A program that uses a profile all the time, as boto3 does for every new session."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import SharedCredentialProvider
from botocore.httpsession import URLLib3Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.world import World

HTTP = URLLib3Session()
BODY = "Action=GetCallerIdentity&Version=2011-06-15"


def call(world: World, profile: str) -> str:
    """Ask STS who a profile is, with the credentials file of the world's home as it is now.

    It is read by what reads it for a new session of boto3, without all else that a session makes.
    Returns an empty text where AWS takes the keys, and what AWS says where it does not.
    """
    path = str(world.home / ".aws" / "credentials")
    credentials = SharedCredentialProvider(path, profile).load()
    assert credentials
    request = AWSRequest(
        "POST",
        world.environment["AWS_ENDPOINT_URL"],
        {"Content-Type": "application/x-www-form-urlencoded"},
        BODY,
    )
    SigV4Auth(credentials, "sts", "us-west-2").add_auth(request)
    answer = HTTP.send(request.prepare())
    return "" if answer.status_code == 200 else answer.text


@dataclass
class Client:
    """What came of the calls so far."""

    calls: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def calling(world: World, profile: str, every: float = 0.02) -> Iterator[Client]:
    """Call AWS with a profile over and over until the block ends."""
    client, over = Client(), Event()

    def work() -> None:
        while not over.is_set():
            start = time.monotonic()
            try:
                said = call(world, profile)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                said = repr(error)
            client.calls += 1
            if said:
                client.failures.append(said)
            over.wait(max(0.0, every - (time.monotonic() - start)))

    thread = Thread(target=work)
    thread.start()
    try:
        yield client
    finally:
        over.set()
        thread.join()

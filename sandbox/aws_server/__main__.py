"""The process in which AWS runs: `python -m sandbox.aws_server`, started by `sandbox.emulator`.

It serves moto on a free loopback port, says on stdout where and for whom (one line of JSON), and
ends when its standard input does.
"""

import json
import math
import sys
import urllib.request

import boto3
from moto.server import ThreadedMotoServer

from sandbox.aws_server import door, keys, policies


def _make_administrator(endpoint: str) -> dict[str, str]:
    """Make a user who may do everything. Any keys will do until checks are turned on."""
    iam = boto3.client(
        "iam",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106 - says what it is
    )
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    iam.create_user(UserName="administrator")
    iam.put_user_policy(
        UserName="administrator",
        PolicyName="Everything",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
    )
    key = iam.create_access_key(UserName="administrator")["AccessKey"]
    _know_from_the_start(key["AccessKeyId"])
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


def _know_from_the_start(access_key_id: str) -> None:
    key = keys.find(access_key_id)
    assert key  # noqa: S101 - it was made in this process
    key.made = -math.inf


def _turn_on_checks(endpoint: str) -> None:
    """Have signatures and policies checked; the 0 is how many more calls go unchecked."""
    request = urllib.request.Request(  # noqa: S310 - http, to this process
        f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    # No proxy of whatever environment stands between this process and itself.
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


def main() -> None:
    """Serve AWS until standard input ends."""
    for module in (keys, policies, door):
        module.install()
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    administrator = _make_administrator(endpoint)
    _turn_on_checks(endpoint)
    sys.stdout.write(json.dumps({"endpoint": endpoint, **administrator}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

# ruff: noqa: SLF001 - moto has no other way to decide a call differently
"""The process in which AWS runs: `python -m sandbox.aws_server`, started by `sandbox.emulator`.

It serves moto on a free loopback port, says on stdout where and for whom (one line of JSON), and
ends when its standard input does.
"""

import json
import sys
import urllib.request
from collections.abc import Callable

import boto3
from moto.iam.responses import IamResponse
from moto.server import ThreadedMotoServer

# Calls that mean the caller when they name no user.
_OF_THE_CALLER = {
    "ChangePassword",
    "CreateAccessKey",
    "DeleteAccessKey",
    "GetUser",
    "ListAccessKeys",
    "ListMFADevices",
    "UpdateAccessKey",
}


def user_arn(call: IamResponse) -> str:
    """Return the ARN of the user an IAM call is about, or `*` if it is about none.

    That is what AWS compares with the `Resource` of a policy, says the Service Authorization
    Reference, "Actions, resources, and condition keys for AWS Identity and Access Management".
    """
    name = call._get_param("UserName")
    action = call._get_action()
    if call._get_param("GroupName"):
        return "*"  # about the group
    if name in call.backend.users:
        return str(call.backend.users[name].arn)
    if name:
        path = call._get_param("Path") or "/"
        return f"arn:{call.partition}:iam::{call.current_account}:user{path}{name}"
    if action == "GetAccessKeyLastUsed":
        key = call._get_param("AccessKeyId")
    elif action in _OF_THE_CALLER:
        key = call.get_access_key()
    else:
        return "*"
    user = call.backend.get_user_from_access_key_id(key)
    return str(user.arn) if user else "*"


def _know_users(original: Callable[[IamResponse], str]) -> None:
    """Teach moto, which knows roles only, to decide IAM calls by the user they are about."""

    def determine(call: IamResponse) -> str:
        resource = original(call)
        return user_arn(call) if resource == "*" else resource

    # moto's own method, as mypy rightly says.
    IamResponse._determine_resource = determine  # type: ignore[method-assign,assignment]


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
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


def _turn_on_checks(endpoint: str) -> None:
    """Have signatures and policies checked; the 0 is how many more calls go unchecked."""
    request = urllib.request.Request(  # noqa: S310 - http, to this process
        f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    # No proxy of whatever environment stands between this process and itself.
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


def main() -> None:
    """Serve AWS until standard input ends."""
    _know_users(IamResponse._determine_resource)
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

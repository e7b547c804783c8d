"""An engine and an AWS that exist only in this process, and keep what a program tells them.

Pulumi's own mocks show a resource's inputs. The engine here sits one level below, where the
requests arrive, and so sees parents, options, registered outputs and what is marked secret too.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pulumi
import yaml  # type: ignore[import-untyped]  # ships no types
from google.protobuf import (  # type: ignore[import-untyped]  # ships no types
    empty_pb2,
    json_format,
    struct_pb2,
)
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.proto.resource_pb2 import (
    RegisterResourceOutputsRequest,
    RegisterResourceRequest,
    RegisterResourceResponse,
    ResourceInvokeRequest,
    ResourceInvokeResponse,
)
from pulumi.runtime.settings import ROOT

DIRECTORY = Path(__file__).parents[2]
PROJECT = "aws-keys"
ORGANIZATION = "acme"
ACCOUNT_ID = "123456789012"

STACK = "pulumi:pulumi:Stack"
SSH_KEY_PAIR = "aws-keys:index:SshKeyPair"
ACCESS_USER = "aws-keys:index:AccessUser"
PRIVATE_KEY = "tls:index/privateKey:PrivateKey"
KEY_PAIR = "aws:ec2/keyPair:KeyPair"
USER = "aws:iam/user:User"
ACCESS_KEY = "aws:iam/accessKey:AccessKey"
USER_POLICY = "aws:iam/userPolicy:UserPolicy"

READ_OUTPUTS = "pulumi:pulumi:readStackOutputs"

# What AWS and the tls provider add to a resource's inputs, {} being the resource's name.
ADDITIONS: Mapping[str, Mapping[str, str]] = {
    PRIVATE_KEY: {
        "publicKeyOpenssh": "ssh-ed25519 AAAA+{}\n",
        "privateKeyOpenssh": "OpenSSH private key of {}\n",
        "privateKeyPem": "PEM private key of {}\n",
        "privateKeyPemPkcs8": "PKCS#8 private key of {}\n",
    },
    USER: {"arn": "arn as AWS tells it"},
    ACCESS_KEY: {"secret": "secret of {}", "sesSmtpPasswordV4": "password of {}"},
}
# What functions answer.
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": ACCOUNT_ID},
    "aws:index/getPartition:getPartition": {"partition": "aws-cn"},
}

# What the engine puts in place of a value that is secret, or not known in a preview:
# https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/properties.go
_SECRET_KEY, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


@dataclass(frozen=True)
class Secret:
    """A value that the program told the engine to encrypt."""

    value: object


class Resource:
    """A resource as the program registered it."""

    def __init__(self, request: RegisterResourceRequest) -> None:
        self.type = request.type
        self.name = request.name
        self.parent_type = _type(request.parent)
        self.inputs = _plain(json_format.MessageToDict(request.object))
        self.options = request


class Engine(MockMonitor):
    """What a program told the engine: `registered` and, by type of component, `outputs`.

    deployed: the outputs that an earlier update has left.
    kept: by name, what is an RSA or ED25519 key already and stays so, whatever its inputs say.
    """

    def __init__(
        self,
        *,
        preview: bool = False,
        deployed: Mapping[str, Any] | None = None,
        kept: Mapping[str, str] | None = None,
    ) -> None:
        self.preview = preview
        self.deployed = deployed or {}
        self.kept = kept or {}
        self.registered: list[Resource] = []
        self.outputs: defaultdict[str, dict[str, Any]] = defaultdict(dict)

    def resource(self, type_: str, name: str | None = None) -> Resource:
        """The one resource of a type, or of a type and a name."""
        [resource] = [
            each for each in self.registered if each.type == type_ and name in (None, each.name)
        ]
        return resource

    def names(self, type_: str) -> list[str]:
        return [each.name for each in self.registered if each.type == type_]

    def RegisterResource(  # noqa: N802 - the name is gRPC's
        self, request: RegisterResourceRequest
    ) -> RegisterResourceResponse:
        response = RegisterResourceResponse(
            urn=self.make_urn(request.parent, request.type, request.name), object=request.object
        )
        if request.custom and not self.preview:
            response.id = f"id of {request.name}"
            added = ADDITIONS.get(request.type, {})
            response.object.update({key: text.format(request.name) for key, text in added.items()})
            if request.type == PRIVATE_KEY and request.name in self.kept:
                response.object.update({"algorithm": self.kept[request.name]})
        if request.type != STACK:
            self.registered.append(Resource(request))
        return response

    def RegisterResourceOutputs(  # noqa: N802 - the name is gRPC's
        self, request: RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        self.outputs[_type(request.urn)] |= _plain(json_format.MessageToDict(request.outputs))
        return empty_pb2.Empty()

    def Invoke(  # noqa: N802 - the name is gRPC's
        self, request: ResourceInvokeRequest
    ) -> ResourceInvokeResponse:
        answer = struct_pb2.Struct()
        if request.tok == READ_OUTPUTS:
            assert dict(request.args) == {"name": f"{ORGANIZATION}/{PROJECT}/staging"}
            answer.update({"outputs": self.deployed, "secretOutputNames": []})
        else:
            answer.update(ANSWERS[request.tok])
        return ResourceInvokeResponse(**{"return": answer})


def declared_config() -> dict[str, Any]:
    """The config that Pulumi.yaml declares: the declaration of each key."""
    config: dict[str, Any] = yaml.safe_load((DIRECTORY / "Pulumi.yaml").read_text())["config"]
    return config


def default_config() -> dict[str, str]:
    """The config of a stack that sets nothing, as the engine hands it to the program."""
    config = {}
    for key, declaration in declared_config().items():
        value = declaration.get("value", declaration.get("default"))
        name = key if ":" in key else f"{PROJECT}:{key}"
        config[name] = value if isinstance(value, str) else json.dumps(value)
    return config


def run(program: Callable[[], object], engine: Engine) -> Engine:
    """Run a program on the stack `staging`, as `pulumi up` or `pulumi preview` would."""

    def main() -> None:
        program()

    async def host() -> None:
        pulumi.runtime.set_mocks(
            Mock(spec=pulumi.runtime.Mocks),
            project=PROJECT,
            stack="staging",
            preview=engine.preview,
            monitor=engine,
            organization=ORGANIZATION,
        )
        ROOT.set(None)  # set_mocks has made a stack; the program gets its own, as in a real run
        await pulumi.runtime.run_in_stack(main)

    asyncio.run(host())
    return engine


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get(_SECRET_KEY) == _SECRET:
        return Secret(_plain(value["value"]))
    return {key: _plain(each) for key, each in value.items()}

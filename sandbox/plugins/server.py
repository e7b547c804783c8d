# ruff: noqa: N802 - the methods bear the protocol's names
"""The engine's side of a stand-in: a gRPC server that speaks Pulumi's resource provider protocol.

`pulumi.provider.experimental` could serve too. It runs every request on one event loop, where
calls of AWS would wait for one another, and answers an error with a traceback; here each request
has a thread, and an error is one line.
"""

from __future__ import annotations

import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]  # likewise
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as proto

from sandbox.plugins.decisions import (
    DEFAULTS,
    Difference,
    check,
    difference,
    inputs_of,
    planned,
)
from sandbox.plugins.resource import Failure, PluginError, Resource
from sandbox.plugins.wire import Properties, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Answer = TypeVar("Answer")
Request = TypeVar("Request")


@dataclass(frozen=True)
class Plugin:
    """What a stand-in is made of.

    `name` is the plugin's, as in `pulumi-resource-<name>`; resource types and functions go by their
    tokens. `check_settings` says what is wrong with the provider's own configuration, and
    `configure` takes it. Functions and `configure` raise `PluginError` and nothing else.
    """

    name: str
    version: str
    resources: Mapping[str, Resource]
    functions: Mapping[str, Callable[[Properties], Properties]]
    check_settings: Callable[[Properties], list[Failure]]
    configure: Callable[[Properties], None]


def serve(plugin: Plugin) -> None:
    """Serve `plugin` on a free loopback port until the engine ends this process."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(_Servicer(plugin), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")  # the protocol's first and only line on stdout
    sys.stdout.flush()
    server.wait_for_termination()


def _answering(
    method: Callable[[_Servicer, Request, grpc.ServicerContext], Answer],
) -> Callable[[_Servicer, Request, grpc.ServicerContext], Answer]:
    """Turn an exception into a line for the user."""

    @wraps(method)
    def answer(self: _Servicer, request: Request, context: grpc.ServicerContext) -> Answer:
        try:
            return method(self, request, context)
        except PluginError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - shown without its text, which may hold a property
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = (
                f"the sandbox's stand-in for the {self.plugin.name} plugin failed: "
                f"{type(error).__name__} in {place.filename}, line {place.lineno}"
            )
        return context.abort(grpc.StatusCode.UNKNOWN, reason)  # type: ignore[no-any-return]  # raises

    return answer


class _Servicer(provider_pb2_grpc.ResourceProviderServicer):
    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def _resource(self, urn: str) -> tuple[Resource, str]:
        """Return the resource type and the name in a URN (`urn:pulumi:S::P::parent$type::name`)."""
        _, _, types, name = urn.split("::", 3)
        token = types.rpartition("$")[2]
        return self._known(self.plugin.resources, token, "resource type"), name

    def _known(self, table: Mapping[str, Answer], token: str, kind: str) -> Answer:
        if token not in table:
            raise PluginError(
                f"the sandbox's stand-in for the {self.plugin.name} plugin has no {kind} {token}: "
                f"add it under sandbox/plugins/{self.plugin.name}, or set SANDBOX_PLUGINS"
            )
        return table[token]

    @_answering
    def GetPluginInfo(self, _: object, __: object) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self.plugin.version)

    @_answering
    def CheckConfig(self, request: proto.CheckRequest, _: object) -> proto.CheckResponse:
        failures = self.plugin.check_settings(decode(request.news))
        return proto.CheckResponse(inputs=request.news, failures=_failures(failures))

    @_answering
    def DiffConfig(self, _: object, __: object) -> proto.DiffResponse:
        return proto.DiffResponse()

    @_answering
    def Configure(self, request: proto.ConfigureRequest, _: object) -> proto.ConfigureResponse:
        self.plugin.configure(decode(request.args))
        return proto.ConfigureResponse(supportsPreview=True)

    @_answering
    def Invoke(self, request: proto.InvokeRequest, _: object) -> proto.InvokeResponse:
        function = self._known(self.plugin.functions, request.tok, "function")
        # `return` is a keyword of Python's.
        return proto.InvokeResponse(**{"return": encode(function(decode(request.args)))})

    @_answering
    def Check(self, request: proto.CheckRequest, _: object) -> proto.CheckResponse:
        resource, name = self._resource(request.urn)
        inputs, failures = check(
            resource, name, decode(request.olds), decode(request.news), request.randomSeed
        )
        return proto.CheckResponse(inputs=encode(inputs), failures=_failures(failures))

    @_answering
    def Diff(self, request: proto.DiffRequest, _: object) -> proto.DiffResponse:
        resource, _ = self._resource(request.urn)
        return _diff_response(difference(resource, decode(request.olds), decode(request.news)))

    @_answering
    def Create(self, request: proto.CreateRequest, _: object) -> proto.CreateResponse:
        resource, _ = self._resource(request.urn)
        inputs = decode(request.properties)
        if request.preview:
            return proto.CreateResponse(
                properties=encode(planned(resource, inputs), resource.secrets)
            )
        inputs.pop(DEFAULTS, None)
        made = resource.create(inputs)
        return proto.CreateResponse(
            id=made.id, properties=encode(made.properties, resource.secrets)
        )

    @_answering
    def Read(self, request: proto.ReadRequest, _: object) -> proto.ReadResponse:
        resource, _ = self._resource(request.urn)
        properties = resource.read(request.id, decode(request.properties))
        if properties is None:
            return proto.ReadResponse()
        return proto.ReadResponse(
            id=request.id,
            properties=encode(properties, resource.secrets),
            inputs=encode(inputs_of(resource, properties, decode(request.inputs))),
        )

    @_answering
    def Update(self, request: proto.UpdateRequest, _: object) -> proto.UpdateResponse:
        resource, _ = self._resource(request.urn)
        state, inputs = decode(request.olds), decode(request.news)
        if request.preview:
            properties = planned(resource, inputs, state)
        else:
            inputs.pop(DEFAULTS, None)
            properties = resource.update(request.id, state, inputs)
        return proto.UpdateResponse(properties=encode(properties, resource.secrets))

    @_answering
    def Delete(self, request: proto.DeleteRequest, _: object) -> Empty:
        resource, _ = self._resource(request.urn)
        resource.delete(request.id, decode(request.properties))
        return Empty()

    @_answering
    def Cancel(self, _: object, __: object) -> Empty:
        return Empty()


def _failures(failures: list[Failure]) -> list[proto.CheckFailure]:
    return [
        proto.CheckFailure(property=failure.name, reason=failure.reason) for failure in failures
    ]


def _diff_response(found: Difference) -> proto.DiffResponse:
    kinds = proto.PropertyDiff
    detailed = {}
    for names, kind, replacing in (
        (found.added, kinds.ADD, kinds.ADD_REPLACE),
        (found.changed, kinds.UPDATE, kinds.UPDATE_REPLACE),
        (found.removed, kinds.DELETE, kinds.DELETE_REPLACE),
    ):
        for name in names:
            detailed[name] = kinds(kind=replacing if name in found.replaces else kind)
    return proto.DiffResponse(
        changes=proto.DiffResponse.DIFF_SOME if found else proto.DiffResponse.DIFF_NONE,
        diffs=sorted(detailed),
        replaces=sorted(found.replaces),
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=found.delete_first,
    )

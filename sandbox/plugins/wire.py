"""Properties as the engine sends them and as the stand-ins see them.

On the wire a resource's properties are a protobuf `Struct`, in which the engine marks two kinds of
value: one that is not known yet (in a preview) is a fixed string, and a secret is an object with a
fixed signature. Here they are plain Python values: dict, list, str, int, float, bool and None.
The signatures are the engine's own, from Pulumi's `sdk/go/common/resource/plugin/rpc.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # no types
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]  # likewise

if TYPE_CHECKING:
    from collections.abc import Collection

Properties = dict[str, Any]
"""A resource's properties by name, in Pulumi's camelCase."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands for a value that is known only once something has been created."""

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the mark of a secret, not one


def decode(message: Struct) -> Properties:
    """Return the properties in `message`; of a secret, its plain value.

    The engine remembers by itself which inputs are secret, since the stand-ins do not say that they
    accept secrets.
    """
    properties: Properties = _plain(MessageToDict(message))
    return properties


def encode(properties: Properties, secret: Collection[str] = ()) -> Struct:
    """Return the wire form of `properties`, those named in `secret` marked as secrets.

    A property whose value is None is left out, as the real plugins do.
    """
    message = Struct()
    message.update(
        {
            name: {_SIGNATURE: _SECRET, "value": value} if name in secret else value
            for name, value in properties.items()
            if value is not None
        }
    )
    return message


def has_unknown(value: object) -> bool:
    """Whether `value` is unknown, or holds an unknown value."""
    if isinstance(value, dict):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return value == UNKNOWN


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return _plain(value["value"])
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # a Struct has no whole numbers
    return value

"""What follows from a resource type's table: good inputs, differences, replacements, previews.

The rules are those of the Terraform bridge, on which the real plugins are built
(pulumi-terraform-bridge, `pkg/tfbridge`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.plugins.resource import Failure
from sandbox.plugins.wire import UNKNOWN, Properties, has_unknown

if TYPE_CHECKING:
    from sandbox.plugins.resource import Input, Resource

DEFAULTS = "__defaults"
"""The bridge's own input: the names of the inputs that were filled in, not given."""


@dataclass
class Difference:
    """The inputs that differ from the state, by name, and how."""

    added: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    replaces: set[str] = field(default_factory=set)
    delete_first: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def check(
    resource: Resource, name: str, olds: Properties, news: Properties, seed: bytes
) -> tuple[Properties, list[Failure]]:
    """Return the inputs completed with defaults, and what is wrong with them.

    `name` is the resource's name in the program, `olds` its inputs at the last update, and `seed`
    the engine's randomness for names made up.
    """
    inputs = {key: value for key, value in news.items() if value is not None and key != DEFAULTS}
    failures = [
        Failure(key, "is not a property of this resource type")
        for key in sorted(inputs.keys() - resource.inputs.keys())
    ]
    kept = olds.get(DEFAULTS, [])
    filled: list[str] = []
    for key, spec in resource.inputs.items():
        if key in inputs:
            reason = _refusal(spec, inputs[key])
            if reason:
                failures.append(Failure(key, reason))
            continue
        if spec.named:
            inputs[key] = olds[key] if key in kept and key in olds else unique_name(name, seed)
        elif spec.default is not None:
            inputs[key] = spec.default
        elif spec.required:
            failures.append(Failure(key, "is required"))
            continue
        else:
            continue
        filled.append(key)
    if not failures:
        inputs = resource.fill(inputs)
    return {**inputs, DEFAULTS: filled}, failures


def difference(resource: Resource, state: Properties, inputs: Properties) -> Difference:
    """Compare the checked inputs with the state, and say what an update would take.

    An input that is not known yet counts as changed. A replacement deletes first when the name is
    fixed: two resources cannot bear it at the same time.
    """
    result = Difference()
    for key, spec in resource.inputs.items():
        old, new = state.get(key), inputs.get(key)
        if old in (None, "", {}) and new in (None, "", {}):
            continue
        if new is None:
            result.removed.add(key)
        elif old is None:
            result.added.add(key)
        elif has_unknown(new) or not spec.same(old, new):
            result.changed.add(key)
        else:
            continue
        if spec.replaces:
            result.replaces.add(key)
    result.delete_first = bool(result.replaces) and any(
        spec.named and key not in inputs.get(DEFAULTS, []) for key, spec in resource.inputs.items()
    )
    return result


def planned(resource: Resource, inputs: Properties, state: Properties | None = None) -> Properties:
    """Return the properties a preview shows: of a new resource, or of one with this state."""
    known = {key: value for key, value in inputs.items() if key != DEFAULTS}
    if state is None:
        return {**dict.fromkeys(resource.outputs, UNKNOWN), **known}
    kept = {key: value for key, value in state.items() if key not in resource.inputs}
    return {**kept, **known}


def inputs_of(resource: Resource, properties: Properties, inputs: Properties) -> Properties:
    """Return the inputs that describe a resource with these properties.

    `inputs` are those it was made from; without any (an import) every input is told that is not
    its default.
    """
    if not inputs:
        told = {
            key: properties[key]
            for key, spec in resource.inputs.items()
            if properties.get(key) not in (None, "", {}, spec.default)
        }
        return {**told, DEFAULTS: []}
    return {key: properties.get(key, value) for key, value in inputs.items()}


def unique_name(name: str, seed: bytes) -> str:
    """Return `name` with a dash and seven hexadecimal digits, the real plugins' made-up names."""
    return f"{name}-{hashlib.sha256(seed + name.encode()).hexdigest()[:7]}"


def _refusal(spec: Input, value: object) -> str | None:
    if has_unknown(value):
        return None
    if not isinstance(value, spec.kind) or (spec.kind is int and isinstance(value, bool)):
        kinds = {str: "a string", int: "a whole number", bool: "true or false", dict: "a map"}
        return f"must be {kinds[spec.kind]}"
    if isinstance(value, dict) and not all(isinstance(item, str) for item in value.values()):
        return "must be a map of strings"
    return spec.refuse(value)

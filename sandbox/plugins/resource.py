"""What a stand-in says about one resource type.

A resource type is a subclass of `Resource`: a table of its inputs, the names of its outputs and
secrets, and four calls (create, read, update, delete). The rest follows from the table; see
`sandbox.plugins.decisions`.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.plugins.wire import Properties


class PluginError(Exception):
    """A request failed, for a reason to show to the user as it stands."""


@dataclass(frozen=True)
class Failure:
    """Why an input is refused: the property's name, and a reason that says what is allowed."""

    name: str
    reason: str


@dataclass(frozen=True)
class Input:
    """One input of a resource type.

    `kind` is str, int, bool or dict (a map of strings). `replaces`: another value takes a new
    resource. `named`: made up from the resource's name when it is not given. `refuse` returns why
    a value of the right kind is not allowed, or None. `same` tells whether two values mean the
    same.
    """

    kind: type = str
    required: bool = False
    default: object = None
    replaces: bool = False
    named: bool = False
    refuse: Callable[[Any], str | None] = lambda _: None
    same: Callable[[Any, Any], bool] = operator.eq


@dataclass(frozen=True)
class Created:
    """A new resource: its id, and all its properties."""

    id: str
    properties: Properties


class Resource(ABC):
    """One resource type. The calls raise `PluginError` and nothing else."""

    inputs: ClassVar[dict[str, Input]]
    outputs: ClassVar[tuple[str, ...]]
    """What is known only after the resource was created."""
    secrets: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def create(self, inputs: Properties) -> Created:
        """Make the resource."""

    @abstractmethod
    def read(self, resource_id: str, state: Properties) -> Properties | None:
        """Return the properties as they are now, or None when the resource is gone.

        `state` is what was known before; it is empty when the resource is imported.
        """

    @abstractmethod
    def update(self, resource_id: str, state: Properties, inputs: Properties) -> Properties:
        """Bring the resource from `state` to `inputs` and return its properties."""

    @abstractmethod
    def delete(self, resource_id: str, state: Properties) -> None:
        """Remove the resource. One that is gone already is no error."""

    def fill(self, inputs: Properties) -> Properties:
        """Add what follows from the plugin's own settings."""
        return inputs

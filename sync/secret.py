"""A string that does not show itself."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Holds a secret; printed, formatted or logged it reads ``[secret]``.

    ``reveal()`` is the one way to the value, so a search for it finds every use.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "[secret]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialized")

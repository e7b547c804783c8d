"""Tags, which the aws plugin handles alike for every resource that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.plugins.resource import Input, Resource
from sandbox.plugins.wire import UNKNOWN, Properties, has_unknown

if TYPE_CHECKING:
    from sandbox.plugins.aws.session import Session

TAG_INPUTS = {"tags": Input(dict), "tagsAll": Input(dict)}


class Tagged(Resource):
    """A resource type with tags.

    Resources bear `tagsAll`: their own tags over the provider's `defaultTags`. The real plugin
    computes it in the check of inputs, so that a preview shows it.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def fill(self, inputs: Properties) -> Properties:
        """Add `tagsAll`."""
        own = inputs.get("tags", {})
        every = UNKNOWN if has_unknown(own) else {**self.session.default_tags, **own}
        return {**inputs, "tagsAll": every}

    def tag_properties(self, tags: dict[str, str], state: Properties) -> Properties:
        """Return `tags` and `tagsAll` of a resource that bears `tags`.

        A default tag is one of its own only where the state says so.
        """
        defaults = self.session.default_tags
        own = {
            key: value
            for key, value in tags.items()
            if defaults.get(key) != value or key in state.get("tags", {})
        }
        return {"tags": own or None, "tagsAll": tags}


def tag_list(tags: dict[str, str]) -> list[Any]:
    """Return tags in the form of AWS's API, for which each service has a type of its own."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]

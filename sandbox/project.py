"""The copy of the project that a sandbox works on, fit for a world of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # PyYAML ships no types; Pulumi's SDK brings it

from sandbox.errors import SandboxError

CHECKOUT = Path(__file__).resolve().parents[1]

STACKS = ("production", "staging", "development", "test")
"""The stacks that the project has settings for."""

# What ties a stack's settings to somebody's secrets: the engine's words for it.
_ENCRYPTION = {"secretsprovider", "encryptedkey", "encryptionsalt"}


def copy_project(target: Path, source: Path = CHECKOUT) -> None:
    """Copy the project in `source` to `target`, which must not exist.

    Hidden files (.git, caches, a virtual environment) stay behind, and so does what a real use of
    the checkout has left in the stacks' settings; see `stripped`.
    """
    shutil.copytree(
        source, target, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.pyc")
    )
    for settings in [*target.glob("Pulumi.*.yaml"), *target.glob("Pulumi.*.yml")]:
        try:
            settings.write_text(stripped(settings.read_text()))
        except (yaml.YAMLError, ValueError) as error:
            about = str(error).splitlines()[0]
            raise SandboxError(f"{source / settings.name} is not YAML: {about}") from None
    # Where `.venv` is missing, the engine's Python host makes an empty one.
    (target / ".venv").symlink_to(sys.prefix)


def stripped(settings: str) -> str:
    """Return a stack's settings (the text of a Pulumi.<stack>.yaml) without what belongs to a user.

    That is the secrets provider and salt, every value encrypted with it, and the `aws:` settings
    that say which account, profile or region is theirs.
    """
    # Nodes rather than values: what is written `2012-10-17` or `012` stays as it is.
    document = yaml.compose(settings, Loader=yaml.SafeLoader)
    if not isinstance(document, yaml.MappingNode):
        return settings
    document.value = [(key, value) for key, value in document.value if key.value not in _ENCRYPTION]
    for key, value in document.value:
        if key.value == "config" and isinstance(value, yaml.MappingNode):
            value.value = [
                (name, setting)
                for name, setting in value.value
                if not name.value.startswith("aws:") and not _encrypted(setting)
            ]
    text: str = yaml.serialize(document, Dumper=yaml.SafeDumper)
    return text


def _encrypted(node: yaml.Node) -> bool:
    if isinstance(node, yaml.SequenceNode):
        return any(map(_encrypted, node.value))
    if isinstance(node, yaml.MappingNode):
        return any(key.value == "secure" or _encrypted(value) for key, value in node.value)
    return False

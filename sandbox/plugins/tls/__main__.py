"""Serve the stand-in for the tls plugin: `python -m sandbox.plugins.tls ENGINE_ADDRESS`."""

from importlib.metadata import version

from sandbox.plugins.resource import Failure
from sandbox.plugins.server import Plugin, serve
from sandbox.plugins.tls.private_key import PrivateKey
from sandbox.plugins.wire import Properties


def check_settings(settings: Properties) -> list[Failure]:
    """Refuse every setting but the version, which the engine adds: `proxy` has no use here."""
    return [
        Failure(name, "is not a setting of the sandbox's stand-in for the tls plugin")
        for name in settings.keys() - {"version"}
    ]


def configure(_: Properties) -> None:
    """Take no settings."""


serve(
    Plugin(
        name="tls",
        version=version("pulumi-tls"),
        resources={"tls:index/privateKey:PrivateKey": PrivateKey()},
        functions={},
        check_settings=check_settings,
        configure=configure,
    )
)

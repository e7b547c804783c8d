"""How AWS is asked: sessions, patience, and what its answers mean in one line.

boto3 is imported by whoever calls this, not by whoever imports it: most runs of sync do without.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3
    from botocore.config import Config
    from botocore.loaders import Loader

    from sync.secret import Secret

    Sessions = Callable[[], boto3.Session]
    """Makes a session that knows what the files and the environment hold now."""

_SHOWN = 300  # characters of what AWS or botocore says
_ACCESS_KEY_ID = re.compile(r"\b(A[A-Z]{3}[A-Z0-9]{8,})([A-Z0-9]{4})\b")
"""IAM User Guide, "IAM identifiers", unique ID prefixes: AKIA, ASIA and more."""
_USER_INFO = re.compile(r"(://)[^/@\s]*@")

NOT_ALLOWED = frozenset(
    (
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "Client.UnauthorizedOperation",
    )
)
"""The codes by which IAM and EC2 say that the caller is not allowed to do something."""

NO_SUCH_KEY = frozenset(("InvalidClientTokenId", "SignatureDoesNotMatch", "AuthFailure"))
"""The codes of keys that are wrong, inactive, or not known to every part of AWS yet."""

_CLOCK = re.compile("signature (expired|not yet current)", re.IGNORECASE)


def config() -> Config:
    """Short waits and few retries: whoever asks is a person, who can ask again."""
    from botocore.config import Config

    return Config(
        connect_timeout=5,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=16,
    )


def loader() -> Loader:
    """A reader of botocore's own data files, for several sessions: it reads each only once."""
    import os

    from botocore.loaders import create_loader

    return create_loader(os.environ.get("AWS_DATA_PATH"))


def session(
    loader: Loader | None = None,
    *,
    profile: str | None = None,
    keys: tuple[Secret, Secret] | None = None,
    region: str | None = None,
) -> boto3.Session:
    """A session of ``profile``, of ``keys``, or of whatever credentials the environment gives.

    Keys in the environment do not win over a profile that is named. Raises
    botocore's ``ProfileNotFound``.
    """
    import boto3
    import botocore.session

    core = botocore.session.Session()
    core.set_config_variable("sts_regional_endpoints", "regional")
    if loader is not None:
        core.register_component("data_loader", loader)
    given: dict[str, Any] = {"region_name": region}
    if profile is not None:
        given["profile_name"] = profile
    if keys is not None:
        given["aws_access_key_id"], given["aws_secret_access_key"] = (key.reveal() for key in keys)
    return boto3.Session(botocore_session=core, **given)


def errors() -> tuple[type[Exception], ...]:
    """All that a call may end with."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return (
        BotoCoreError,
        ClientError,
        ResponseParserError,
        ValueError,  # an endpoint that is none
        OSError,  # a file or program that gives the credentials cannot be read or run
        EOFError,  # nobody is there to tell the MFA code
        *(AttributeError, LookupError, TypeError),  # a program gave JSON of another form
    )


def code_of(error: Exception) -> str | None:
    """The code by which AWS refused a call, or None where it is no answer of AWS's."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return None


def is_unknown_key(error: Exception) -> bool:
    """Whether AWS refused the keys themselves, which it may do while they are new."""
    return code_of(error) in NO_SUCH_KEY and not _CLOCK.search(str(error))


def explain(error: Exception) -> str:
    """``error``, of botocore or of AWS, in one line for the user; nothing in it is secret."""
    from botocore import exceptions as of
    from botocore.parsers import ResponseParserError

    if isinstance(error, of.ClientError):
        return _explain_answer(code_of(error), error.response.get("Error", {}).get("Message", ""))
    if isinstance(error, of.NoCredentialsError | of.PartialCredentialsError):
        return "no AWS credentials, or only a part of them"
    if isinstance(error, of.ConfigParseError):
        return _plain(f"boto3 cannot read {error.kwargs.get('path', 'the AWS files')}")
    if isinstance(error, ResponseParserError):
        return "what answers is not AWS: is a proxy or a login page in between?"
    # Others may quote what a program of the user's printed, or a value of a file.
    if isinstance(
        error,
        of.HTTPClientError
        | of.ConnectionError
        | of.ProfileNotFound
        | of.NoRegionError
        | of.SSOError
        | of.LoginError
        | of.UnauthorizedSSOTokenError,
    ):
        return _plain(str(error))
    return _explain_credentials(error)


def _explain_credentials(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the AWS credentials need an MFA code, and there is no terminal to ask for it at"
    if isinstance(error, OSError):  # its file name may be a token, put where its file belongs
        why = error.strerror or type(error).__name__
        return f"a file or program that gives the AWS credentials cannot be used: {why}"
    return f"AWS cannot be asked ({type(error).__name__})"


def _explain_answer(code: str | None, said: str) -> str:
    if _CLOCK.search(said):
        return "AWS refuses the signature's time: is the clock of this machine right?"
    if code == "SignatureDoesNotMatch":  # the message may quote what was signed
        return "AWS refuses the keys: SignatureDoesNotMatch, the secret is not that of the id"
    if code in NO_SUCH_KEY:
        return f"AWS refuses the keys: {code}, they are wrong, inactive, deleted or very new"
    return _plain(f"AWS says {code}: {said}" if said else f"AWS says {code}")


def mask_ids(text: str) -> str:
    """``text`` with no more of the ids of access keys in it than their last four characters."""
    return _ACCESS_KEY_ID.sub(r"...\2", text)


def _plain(text: str) -> str:
    line = _USER_INFO.sub(r"\1", " ".join(text.split()))
    line = mask_ids(line)
    return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."

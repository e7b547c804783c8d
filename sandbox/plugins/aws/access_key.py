"""`aws:iam/accessKey:AccessKey`: an IAM user's access key."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from sandbox.plugins.aws.session import AwsCall
from sandbox.plugins.aws.user import GONE
from sandbox.plugins.resource import Created, Input, Resource

if TYPE_CHECKING:
    from sandbox.plugins.aws.session import Session
    from sandbox.plugins.wire import Properties

_STATUSES = ("Active", "Inactive")


def _bad_status(status: str) -> str | None:
    return None if status in _STATUSES else f"must be one of {', '.join(_STATUSES)}"


class AccessKey(Resource):
    """Its id is the access key id. AWS tells the secret once, so it is never read again."""

    inputs: ClassVar = {
        "user": Input(required=True, replaces=True),
        "status": Input(default="Active", refuse=_bad_status),
    }
    # The three that a PGP key would fill stay unknown in a preview, as with the real plugin.
    outputs = (
        "createDate",
        "encryptedSecret",
        "encryptedSesSmtpPasswordV4",
        "keyFingerprint",
        "secret",
        "sesSmtpPasswordV4",
    )
    secrets = ("secret", "sesSmtpPasswordV4")

    def __init__(self, session: Session) -> None:
        self.session = session

    def create(self, inputs: Properties) -> Created:
        """Make a key; an inactive one is active for a moment."""
        user, status = inputs["user"], inputs["status"]
        with AwsCall(f"creating IAM Access Key ({user})"):
            key = self.session.iam.create_access_key(UserName=user)["AccessKey"]
            if status != key["Status"]:
                self.session.iam.update_access_key(
                    UserName=user, AccessKeyId=key["AccessKeyId"], Status=status
                )
        secret = key["SecretAccessKey"]
        return Created(
            key["AccessKeyId"],
            {
                **inputs,
                "createDate": _rfc3339(key["CreateDate"]),
                "secret": secret,
                "sesSmtpPasswordV4": ses_smtp_password(secret, self.session.region),
            },
        )

    def read(self, resource_id: str, state: Properties) -> Properties | None:
        """Return what IAM says. The secrets are those in state."""
        iam = self.session.iam
        with AwsCall(f"reading IAM Access Key ({resource_id})", unless=GONE):
            user = state.get("user")
            if user is None:  # an import
                user = iam.get_access_key_last_used(AccessKeyId=resource_id)["UserName"]
            for key in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
                if key["AccessKeyId"] == resource_id:
                    return {
                        **state,
                        "createDate": _rfc3339(key["CreateDate"]),
                        "status": key["Status"],
                        "user": key["UserName"],
                    }
        return None

    def update(self, resource_id: str, state: Properties, inputs: Properties) -> Properties:
        """Set the status, which is all that can change."""
        with AwsCall(f"updating IAM Access Key ({resource_id})"):
            self.session.iam.update_access_key(
                UserName=inputs["user"], AccessKeyId=resource_id, Status=inputs["status"]
            )
        return {**state, **inputs}

    def delete(self, resource_id: str, state: Properties) -> None:
        """Delete the key, if the user still has it."""
        with AwsCall(f"deleting IAM Access Key ({resource_id})", unless=GONE):
            self.session.iam.delete_access_key(UserName=state["user"], AccessKeyId=resource_id)


def ses_smtp_password(secret_access_key: str, region: str) -> str:
    """Return the password with which SES's SMTP endpoint in `region` takes this key.

    The algorithm is in the Amazon SES Developer Guide, "Obtaining Amazon SES SMTP credentials".
    """
    signature = b"AWS4" + secret_access_key.encode()
    for part in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        signature = hmac.digest(signature, part.encode(), "sha256")
    return base64.b64encode(b"\x04" + signature).decode()


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

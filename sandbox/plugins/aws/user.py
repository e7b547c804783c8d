"""`aws:iam/user:User`: an IAM user."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from sandbox.plugins.aws.session import AwsCall
from sandbox.plugins.aws.tags import TAG_INPUTS, Tagged, tag_list
from sandbox.plugins.resource import Created, Input, PluginError

if TYPE_CHECKING:
    from sandbox.plugins.wire import Properties

GONE = ("NoSuchEntity",)


def _bad_name(name: str) -> str | None:
    if re.fullmatch(r"[0-9A-Za-z=,.@\-_+]+", name):
        return None
    return "must hold only letters and digits of ASCII and =,.@-_+"


class User(Tagged):
    """Its id is its name, and another name or path is an update: IAM renames."""

    inputs: ClassVar = {
        "name": Input(named=True, refuse=_bad_name),
        "path": Input(default="/"),
        "forceDestroy": Input(bool, default=False),
        "permissionsBoundary": Input(),
        **TAG_INPUTS,
    }
    outputs = ("arn", "uniqueId")

    def create(self, inputs: Properties) -> Created:
        """Make the user, bare of keys and policies."""
        name = inputs["name"]
        boundary = inputs.get("permissionsBoundary")
        with AwsCall(f"creating IAM User ({name})"):
            self.session.iam.create_user(
                UserName=name,
                Path=inputs["path"],
                Tags=tag_list(inputs["tagsAll"]),
                **({"PermissionsBoundary": boundary} if boundary else {}),
            )
        return Created(name, self._now(name, inputs))

    def read(self, resource_id: str, state: Properties) -> Properties | None:
        """Return what IAM says."""
        with AwsCall(f"reading IAM User ({resource_id})", unless=GONE):
            # The id is the name at creation, which a rename leaves behind.
            name = state.get("name", resource_id)
            user = self.session.iam.get_user(UserName=name)["User"]
            tags = {tag["Key"]: tag["Value"] for tag in user.get("Tags", [])}
            boundary = user.get("PermissionsBoundary", {})
            return {
                "arn": user["Arn"],
                "forceDestroy": state.get("forceDestroy", False),
                "name": user["UserName"],
                "path": user["Path"],
                "permissionsBoundary": boundary.get("PermissionsBoundaryArn"),
                "uniqueId": user["UserId"],
                **self.tag_properties(tags, state),
            }
        return None

    def update(self, resource_id: str, state: Properties, inputs: Properties) -> Properties:
        """Rename or move the user, and set its boundary and tags."""
        iam, name = self.session.iam, inputs["name"]
        with AwsCall(f"updating IAM User ({resource_id})"):
            if (state["name"], state["path"]) != (name, inputs["path"]):
                iam.update_user(UserName=state["name"], NewUserName=name, NewPath=inputs["path"])
            boundary = inputs.get("permissionsBoundary")
            if boundary and boundary != state.get("permissionsBoundary"):
                iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
            elif state.get("permissionsBoundary") and not boundary:
                iam.delete_user_permissions_boundary(UserName=name)
            old, new = state.get("tagsAll", {}), inputs["tagsAll"]
            if removed := old.keys() - new.keys():
                iam.untag_user(UserName=name, TagKeys=list(removed))
            if new != old:
                iam.tag_user(UserName=name, Tags=tag_list(new))
        return self._now(name, inputs)

    def delete(self, resource_id: str, state: Properties) -> None:
        """Remove the user; with `forceDestroy` also the keys and devices others gave it."""
        iam, name = self.session.iam, state["name"]
        with AwsCall(f"deleting IAM User ({resource_id})", unless=GONE):
            for group in iam.list_groups_for_user(UserName=name)["Groups"]:
                iam.remove_user_from_group(UserName=name, GroupName=group["GroupName"])
            if state.get("forceDestroy"):
                self._delete_credentials(name)
            elif iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
                # IAM refuses; the emulator would not.
                raise PluginError(
                    f"deleting IAM User ({resource_id}): DeleteConflict: "
                    "Cannot delete entity, must delete access keys first."
                )
            iam.delete_user(UserName=name)

    def _now(self, name: str, inputs: Properties) -> Properties:
        return {**(self.read(name, inputs) or {}), **inputs}

    def _delete_credentials(self, name: str) -> None:
        iam = self.session.iam
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for device in iam.list_mfa_devices(UserName=name)["MFADevices"]:
            iam.deactivate_mfa_device(UserName=name, SerialNumber=device["SerialNumber"])
        for certificate in iam.list_signing_certificates(UserName=name)["Certificates"]:
            iam.delete_signing_certificate(
                UserName=name, CertificateId=certificate["CertificateId"]
            )
        with AwsCall("", unless=GONE):
            iam.delete_login_profile(UserName=name)

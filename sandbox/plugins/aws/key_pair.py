"""`aws:ec2/keyPair:KeyPair`: a public key that EC2 puts on new instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sandbox.plugins.aws.session import AwsCall
from sandbox.plugins.aws.tags import TAG_INPUTS, Tagged, tag_list
from sandbox.plugins.resource import Created, Input

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from sandbox.plugins.wire import Properties

_LONGEST_NAME = 255
_GONE = ("InvalidKeyPair.NotFound",)


def _bad_name(name: str) -> str | None:
    return None if len(name) <= _LONGEST_NAME else f"must be at most {_LONGEST_NAME} characters"


class KeyPair(Tagged):
    """Its id is its name. Only tags can be updated."""

    inputs: ClassVar = {
        "keyName": Input(named=True, replaces=True, refuse=_bad_name),
        "publicKey": Input(
            required=True, replaces=True, same=lambda old, new: old.strip() == new.strip()
        ),
        "region": Input(replaces=True),
        **TAG_INPUTS,
    }
    outputs = ("arn", "fingerprint", "keyNamePrefix", "keyPairId", "keyType")

    def fill(self, inputs: Properties) -> Properties:
        """Add the region and `tagsAll`."""
        return super().fill({"region": self.session.region, **inputs})

    def create(self, inputs: Properties) -> Created:
        """Import the public key."""
        name = inputs["keyName"]
        tags = inputs["tagsAll"]
        with AwsCall(f"importing EC2 Key Pair ({name})"):
            self._ec2(inputs).import_key_pair(
                KeyName=name,
                PublicKeyMaterial=inputs["publicKey"].encode(),
                TagSpecifications=(
                    [{"ResourceType": "key-pair", "Tags": tag_list(tags)}] if tags else []
                ),
            )
        return Created(name, {**(self.read(name, inputs) or {}), **inputs})

    def read(self, resource_id: str, state: Properties) -> Properties | None:
        """Return what EC2 says.

        As with the real plugin, the public key is never EC2's: it is the one in state without the
        blanks around it, so that a key given with a final newline differs at the first refresh.
        """
        region = state.get("region", self.session.region)
        with AwsCall(f"reading EC2 Key Pair ({resource_id})", unless=_GONE):
            answer = self._ec2({"region": region}).describe_key_pairs(KeyNames=[resource_id])
            pair = answer["KeyPairs"][0]
            tags = {tag["Key"]: tag["Value"] for tag in pair.get("Tags", [])}
            account, partition = self.session.account, self.session.partition
            return {
                "arn": f"arn:{partition}:ec2:{region}:{account}:key-pair/{resource_id}",
                "fingerprint": pair["KeyFingerprint"],
                "keyName": pair["KeyName"],
                "keyNamePrefix": "",
                "keyPairId": pair["KeyPairId"],
                "keyType": pair["KeyType"],
                "publicKey": state["publicKey"].strip() if "publicKey" in state else None,
                "region": region,
                **self.tag_properties(tags, state),
            }
        return None

    def update(self, resource_id: str, state: Properties, inputs: Properties) -> Properties:
        """Set the tags."""
        old, new = state.get("tagsAll", {}), inputs["tagsAll"]
        resources, ec2 = [state["keyPairId"]], self._ec2(state)
        with AwsCall(f"updating tags for EC2 Key Pair ({resource_id})"):
            if removed := old.keys() - new.keys():
                ec2.delete_tags(Resources=resources, Tags=[{"Key": key} for key in removed])
            if new != old:
                ec2.create_tags(Resources=resources, Tags=tag_list(new))
        return {**(self.read(resource_id, state) or {}), **inputs}

    def delete(self, resource_id: str, state: Properties) -> None:
        """Delete the key pair, if EC2 still has it."""
        with AwsCall(f"deleting EC2 Key Pair ({resource_id})", unless=_GONE):
            self._ec2(state).delete_key_pair(KeyName=resource_id)

    def _ec2(self, properties: Properties) -> EC2Client:
        return self.session.ec2(properties.get("region", self.session.region))

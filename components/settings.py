"""The stack's config, checked, as one frozen value.

Everything is checked before any resource is registered, so that a wrong setting costs one line
on the terminal and nothing in AWS. Defaults are not here: `Pulumi.yaml` declares each key with
its default, and the engine hands the program every key that is declared.
"""

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Self, TypeVar

import pulumi

from components import limits, rotation
from components.policy import Document
from components.policy import load as load_policy
from components.rotation import ACCESS_KEY, KEY_PAIR, Course, Rotation

T = TypeVar("T")

KEYS: Final = (
    "keyName",
    "keyAlgorithm",
    "rsaBits",
    "userName",
    "policyName",
    "policy",
    "tags",
    "protect",
    "forceDestroy",
    "accessKeyGeneration",
    "previousAccessKey",
    "keyPairGeneration",
    "previousKeyPair",
    "rotationStep",
)
_BOOLEANS: Final = {"true": True, "false": False}
_SHOWN: Final = 80  # characters of a value that an error repeats; a policy can be long


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a stack is to be; one field for each key of the config, or for two that go together.

    None of it is kept secret: what the stack's file holds encrypted is in clear in state and AWS.

    key_name: name of the EC2 key pair.
    key_algorithm: algorithm of the SSH key.
    rsa_bits: size of the SSH key in bits, where the algorithm is RSA.
    user_name: name of the IAM user.
    policy_name: name of the policy embedded in the user.
    policy: its document, with the placeholders still in it.
    tags: on every resource that takes tags: the user's own, `environment` and `managed-by`.
    protect: whether the engine refuses to delete what the stack holds.
    force_destroy: whether keys of the user that this program did not make are deleted with it.
    rotation_step: how many steps the rotations of both keys have taken.
    access_key: which generations of the user's access key are in force.
    key_pair: which generations of the SSH key are kept.
    """

    key_name: str
    key_algorithm: limits.Algorithm
    rsa_bits: int
    user_name: str
    policy_name: str
    policy: Document
    tags: Mapping[str, str]
    protect: bool
    force_destroy: bool
    rotation_step: int
    access_key: Rotation
    key_pair: Rotation

    @classmethod
    def from_config(cls) -> Self:
        """Read the settings of the stack that the engine is running.

        Raises pulumi.RunError as `parse` does.
        """
        project = pulumi.get_project()
        # pulumi.Config answers for one key at a time; a mistyped one shows only among all.
        values = {
            key.removeprefix(f"{project}:"): value
            for key, value in pulumi.runtime.get_config_env().items()
            if key.startswith(f"{project}:")
        }
        secret = {
            key.removeprefix(f"{project}:") for key in pulumi.runtime.get_config_secret_keys_env()
        }
        return cls.parse(project, pulumi.get_stack(), values, secret=secret)

    @classmethod
    def parse(
        cls, project: str, stack: str, values: Mapping[str, str], *, secret: Collection[str] = ()
    ) -> Self:
        """Turn config values into settings.

        project: name of the project, which is the namespace of the keys.
        stack: name of the stack, which an empty `keyName` or `userName` stands for.
        values: text by key, without namespace; what is no text in YAML, as JSON.
        secret: the keys whose value no error may show.

        Raises pulumi.RunError for the first key that is unknown or has a value that AWS or this
        program refuses: one line with the key, the value and what is allowed.
        """
        for key in sorted(values.keys() - set(KEYS)):
            near = difflib.get_close_matches(key, KEYS, n=1) or KEYS
            raise pulumi.RunError(f"{project}:{key}: no such key; is it {' or '.join(near)}?")

        own_tags = {"environment": stack, "managed-by": project}

        def read(key: str, reader: Callable[[str], T], default: str = "") -> T:
            text = values.get(key) or default
            try:
                return reader(text)
            except ValueError as error:
                shown = "[secret]" if key in secret else _shorten(repr(text))
                origin = ", the stack's name" if default and not values.get(key) else ""
                raise pulumi.RunError(f"{project}:{key} is {shown}{origin}: {error}") from error

        def read_rotation(course: Course) -> Rotation:
            generation = read(course.generation, rotation.generation)

            def read_previous(text: str) -> str:
                if text and generation == 1:
                    raise ValueError(f"must be empty, as {course.generation} is 1, the first")
                return limits.one_of({status: status for status in course.statuses})(text)

            return Rotation(generation, read(course.previous, read_previous))

        return cls(
            key_name=read("keyName", limits.key_pair_name, default=stack),
            key_algorithm=read("keyAlgorithm", limits.one_of(limits.ALGORITHMS)),
            rsa_bits=read("rsaBits", limits.one_of(limits.RSA_BITS)),
            user_name=read("userName", limits.iam_name(64), default=stack),
            policy_name=read("policyName", limits.iam_name(128)),
            policy=read("policy", load_policy),
            tags=read("tags", lambda text: limits.tags(text, own_tags)),
            protect=read("protect", limits.one_of(_BOOLEANS)),
            force_destroy=read("forceDestroy", limits.one_of(_BOOLEANS)),
            rotation_step=read("rotationStep", rotation.step),
            access_key=read_rotation(ACCESS_KEY),
            key_pair=read_rotation(KEY_PAIR),
        )


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

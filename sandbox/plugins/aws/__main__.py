"""Serve the stand-in for the aws plugin: `python -m sandbox.plugins.aws ENGINE_ADDRESS`."""

from importlib.metadata import version

from sandbox.plugins.aws.access_key import AccessKey
from sandbox.plugins.aws.functions import Functions
from sandbox.plugins.aws.key_pair import KeyPair
from sandbox.plugins.aws.session import Session
from sandbox.plugins.aws.user import User
from sandbox.plugins.aws.user_policy import UserPolicy
from sandbox.plugins.server import Plugin, serve

session = Session()
functions = Functions(session)
serve(
    Plugin(
        name="aws",
        version=version("pulumi-aws"),
        resources={
            "aws:ec2/keyPair:KeyPair": KeyPair(session),
            "aws:iam/accessKey:AccessKey": AccessKey(session),
            "aws:iam/user:User": User(session),
            "aws:iam/userPolicy:UserPolicy": UserPolicy(session),
        },
        functions={
            "aws:index/getCallerIdentity:getCallerIdentity": functions.get_caller_identity,
            "aws:index/getPartition:getPartition": functions.get_partition,
        },
        check_settings=session.check,
        configure=session.configure,
    )
)

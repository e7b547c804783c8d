"""The stand-in for the aws plugin, over boto3."""

"""From the outputs of a stack to the files of a home directory.

``python -m sync production`` reads what ``pulumi up`` made and writes the private key and the
profile that use it. Nothing here imports pulumi or boto3: the engine is asked by its own command.
"""

__version__ = "1.0.0"

"""What the sandbox raises."""


class SandboxError(Exception):
    """Something the sandbox needs is not there or does not work; the text is one clear line."""

"""The Pulumi engine: the one on PATH, or one built from the Go modules pinned here.

`cli/` and `language-python/` are two Go modules that hold no code, only versions and checksums: of
the CLI, and of the host that runs Python programs. The last release of that host as a module needs
an older SDK than the CLI does, hence two.
"""

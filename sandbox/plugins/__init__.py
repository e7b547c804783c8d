"""Stand-ins for the Pulumi plugins this project uses: just its resource types and functions.

`wire` translates properties, `resource` says what a resource type is and `decisions` what follows
from that, `server` speaks with the engine, and `install` puts the stand-ins where the engine looks
for plugins. A new resource type is a `Resource` in a module of its own under `aws/` or `tls/`, and
a line in the table in that package's `__main__.py`.
"""

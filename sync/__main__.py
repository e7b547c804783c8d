"""``python -m sync``: see `sync.cli`."""

import os
import sys


def main() -> int:
    """Run the command line, and answer an interruption while it is still being imported."""
    try:
        from sync.cli import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    # All is written and flushed by now. What the interpreter would tidy up besides takes it a
    # tenth of sync's own time.
    os._exit(main())

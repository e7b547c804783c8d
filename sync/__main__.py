"""``python -m sync``: see `sync.cli`."""

import sys


def main() -> int:
    """Run the command line, and answer an interruption while it is still being imported."""
    try:
        from sync.cli import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""``python -m sync``: see `sync.cli`."""

import sys

from sync.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

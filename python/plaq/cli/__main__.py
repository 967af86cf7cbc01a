"""`python -m plaq.cli` is the command `plaq`."""

import sys

from plaq.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

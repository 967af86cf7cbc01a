"""`python -m plaq`: the command line."""

import sys

from plaq.cli import main

sys.exit(main())

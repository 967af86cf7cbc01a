"""`python -m plaq`: the command line."""

import sys

from plaq.cli.main import main

sys.exit(main())

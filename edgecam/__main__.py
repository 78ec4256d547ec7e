"""`python -m edgecam` is the `edgecam` command."""

import sys

from edgecam.cli import main

sys.exit(main())

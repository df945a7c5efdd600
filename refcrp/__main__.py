"""``python -m refcrp`` is the command ``refcrp``."""

import sys

from refcrp.cli import main

sys.exit(main())

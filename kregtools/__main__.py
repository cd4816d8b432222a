"""`python -m kregtools` is the command `kregtools`."""

import sys

from kregtools.cli import main

if __name__ == "__main__":
    sys.exit(main())

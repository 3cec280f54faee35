"""``python scripts/train.py …`` is ``survlstm train …``."""

import sys

from survlstm.cli import main

main(["train", *sys.argv[1:]])

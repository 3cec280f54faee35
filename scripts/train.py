"""``python scripts/train.py …`` is ``survlstm train …``."""

import sys

from survlstm.cli.main import main

main(["train", *sys.argv[1:]])

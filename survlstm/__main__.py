"""``python -m survlstm`` is the command ``survlstm``."""

from survlstm.cli import main

main()

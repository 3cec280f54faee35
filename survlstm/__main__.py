"""``python -m survlstm`` is the command ``survlstm``."""

from survlstm.cli.main import main

main()

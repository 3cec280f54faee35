"""Run the command ``survlstm`` as ``python -m survlstm``."""

from survlstm.cli.main import main

main()

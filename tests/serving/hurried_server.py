"""The command ``survlstm`` with short timeouts of the server and endless explanations; a test starts it."""

import time

from survlstm.cli.main import main
from survlstm.inference.predictor import Predictor
from survlstm.serving import server


class NeverDone(Predictor):
    """A predictor whose explanations do not end."""

    def explain(self, events, **options):
        """Take an hour."""
        time.sleep(3600)


load_bundle = server.load_bundle
server.load_bundle = lambda path, **options: NeverDone(load_bundle(path, **options).bundle)
server.GRACE_SECONDS = 1
server.IDLE_SECONDS = 1.0

main()

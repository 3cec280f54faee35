"""The life of a run: start, train, resume, evaluate, compare and export, and the files in its folder."""

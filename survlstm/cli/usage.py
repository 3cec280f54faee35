"""The names of the commands and the usage text."""

from __future__ import annotations

from survlstm.utils.version import __version__

# In the order of the usage text; each is a module of survlstm.cli.
COMMANDS = (
    "train",
    "evaluate",
    "compare",
    "tune",
    "summarize",
    "runs",
    "rerun",
    "export",
    "predict",
    "plot",
    "explain",
    "serve",
    "simulate",
)
HELP_FLAGS = frozenset({"-h", "--help"})

USAGE = f"""survlstm {__version__}: discrete-time survival models on longitudinal health records

survlstm train     [key=value …]   train and evaluate one model; resume=RUN resumes a stopped run
survlstm train -m  [key=a,b,c …]   a sweep: one run per combination; sweep.resume=SWEEP runs the missing jobs
survlstm evaluate  run=RUN [key=value …]   evaluate a finished run again, or on another cohort: data=…
survlstm compare   RUN RUN … [output=DIR]  compare finished runs on the test subjects that they share
survlstm tune      [tune=lstm] [key=value …]   search hyperparameters; the same command again resumes the search
survlstm summarize SWEEP [--metric val_nll]  table, best run and figures of a sweep, also while it runs
survlstm runs      [FOLDER] [--sort test.c_td] [--where data=cohort_1000]  list the runs below a folder
survlstm rerun     RUN [output_dir=DIR]    repeat a run and check that its history is identical
survlstm export    run=RUN output=BUNDLE   write a trained model with everything needed to use it; format=onnx
survlstm predict   bundle=BUNDLE data.path=EXPORT [output=FILE]  risk and survival of every subject
survlstm plot      survival bundle=BUNDLE data.path=EXPORT [subjects=[ID,…]]  survival curves
survlstm explain   run=RUN [key=value …]   the codes that move the predicted hazard
survlstm serve     bundle=BUNDLE [port=8000]  predictions over HTTP, with a page to try them
survlstm simulate  [key=value …]   write a simulated cohort as Synthea CSV: patients=1000 output=DIR

survlstm train --help lists the config groups; survlstm train --cfg job shows the composed config.
"""

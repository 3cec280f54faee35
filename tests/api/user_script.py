"""A user's script with every public function; the type checker reads it, nothing runs it."""

from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from torch.utils.data import DataLoader

import survlstm
from survlstm import survival

try:
    run = survlstm.train({"experiment": "smoke", "trainer.epochs": 2}, output_dir=Path("run"), config_dir="mine")
except survlstm.SurvlstmError as error:
    raise SystemExit(error.exit_code) from error
assert_type(run, survlstm.Run)
run = survlstm.load_run("run")

assert_type(run.metrics, pd.DataFrame)
assert_type(run.landmarks, pd.DataFrame)
assert_type(run.groups, pd.DataFrame)
assert_type(run.history, pd.DataFrame)
assert_type(run.predictions, pd.DataFrame)
assert_type(run.exclusions, pd.DataFrame)
assert_type(run.config.trainer.epochs, int)
assert_type(run.config_yaml, str)
assert_type(run.state, str)
assert_type(run.summary, tuple[str, ...])
assert_type(run.report(open_browser=False), Path)
assert_type(run.plot.survival(), Axes)
assert_type(run.plot.calibration("visit 2", horizon=10, ax=run.plot.history()), Axes)
assert_type(run.model, torch.nn.Module)

evaluation = run.evaluate("split=val")
assert_type(survlstm.evaluate("run", ["split=val"]), survlstm.Evaluation)
assert_type(survlstm.load_evaluation(evaluation.folder), survlstm.Evaluation)
assert_type(evaluation.plot.survival(), Axes)
comparison = survlstm.compare([run, "other", Path("third"), evaluation], {"evaluation.resamples": 200})
assert_type(comparison.table, pd.DataFrame)
assert_type(comparison.details.events, int)

predictor = survlstm.load_bundle(run.export("bundle.zip", format="native"))
assert_type(predictor, survlstm.Predictor)
assert_type(predictor.predict(pd.DataFrame(), as_of="2020-12-31").table, pd.DataFrame)

prepared = survlstm.prepare()
assert_type(prepared, survlstm.PreparedCohort)
assert_type(prepared.train, survlstm.SubjectDataset)
assert_type(prepared.subjects, pd.DataFrame)
assert_type(len(prepared.vocabulary), int)
model = prepared.build_model()
for batch in DataLoader(prepared.train, batch_size=32, shuffle=True, collate_fn=prepared.collate):
    logits = model(batch.inputs)
    loss = survival.nll_per_step(logits, at_risk=batch.at_risk, event=batch.event).sum() / batch.subjects
    loss.backward()

duration, event = np.array([1.0, 2.0, 3.0]), np.array([True, False, True])
censoring = survival.censoring_curve(duration, event)
assert_type(survival.c_harrell(duration, duration=duration, event=event).c, float)
assert_type(survival.c_uno(duration, duration=duration, event=event, censoring=censoring).c, float)
assert_type(survlstm.survival.kaplan_meier(duration, event), survival.KaplanMeier)
assert_type(survlstm.__version__, str)

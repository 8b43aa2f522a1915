"""Training scripts for tests: they need only Python and, where they import it, the trial helper."""

QUADRATIC = """\
import cloudtune.trial as trial

p = trial.params()
trial.report(score=1 - (p["x"] - 0.3) ** 2)
"""
"""Reports one score, best at x = 0.3."""

UNAWARE = """\
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
x = parser.parse_args().x
print("epoch 1: score = 0.0, loss = 9.5")
print(f"epoch 2: score = {1 - (x - 0.3) ** 2!r}, loss = {abs(x):e}")
"""
"""Does not use cloudtune: takes --x, prints its metrics; the last score counts."""

ECHO = """\
import json
import sys
import cloudtune.trial as trial

print("PARAMETERS " + json.dumps(trial.params(), sort_keys=True))
print("ARGUMENTS " + json.dumps(sys.argv[1:]))
trial.report(score=1.0)
"""
"""Prints the parameters that it gets, and its arguments."""

CURVE = """\
import time
import cloudtune.trial as trial

x = trial.params()["x"]
for step in range(1, 61):
    trial.report(score=x * step, step=step)
    time.sleep(0.05)
"""
"""A curve of 60 steps whose height is x; takes three seconds unless it is stopped."""

FAILS_ABOVE_HALF = """\
import sys
import cloudtune.trial as trial

x = trial.params()["x"]
if x > 0.5:
    sys.exit(f"x is {x}, which is too much")
trial.report(score=x)
"""
"""Fails with a message where x is above one half."""

FAILS_AT_FIRST = """\
import os, sys
import cloudtune.trial as trial

print("attempt", trial.attempt())
if trial.attempt() == 1:
    sys.exit("the first attempt always fails")
trial.report(score=trial.params()["x"])
"""
"""Fails in its first attempt, and succeeds in its second."""

HANGS = """\
import time
import cloudtune.trial as trial

trial.report(score=trial.params()["x"])
print("hanging", flush=True)
time.sleep(600)
"""
"""Reports, and then does not end for ten minutes."""

SHOWS_ENVIRONMENT = """\
import os
import cloudtune.trial as trial

trial.report(score=float(os.environ["MAGIC"]))
"""
"""Reports the number in the environment variable MAGIC."""

READS_DATA = """\
import pathlib
import cloudtune.trial as trial

trial.report(score=float(pathlib.Path(trial.data("train"), "number.txt").read_text()))
"""
"""Reports the number in number.txt of its input ``train``."""

IMPORTS_NEIGHBOUR = """\
import cloudtune.trial as trial
import neighbour

trial.report(score=neighbour.SCORE)
"""
"""Needs the module ``neighbour`` in its folder."""

REPORTS_NAN = """\
import cloudtune.trial as trial

x = trial.params()["x"]
trial.report(score=float("nan") if x > 0.5 else x)
"""
"""Its score is not a number where x is above one half."""

CONSTRAINED = """\
import cloudtune.trial as trial

x = trial.params()["x"]
print("took", 1000 * x, "bytes")
trial.report(score=x, depth=x - 0.1)
"""
"""Reports a score and a depth, and prints a size in words of its own, which all grow with x."""

REPORTS_NOTHING = """\
print("nothing to say")
"""
"""Succeeds without a metric."""

GOES_ON = """\
import pathlib, time
import cloudtune.trial as trial

x = trial.params()["x"]
kept = pathlib.Path(trial.checkpoint_dir(), "step")
done = int(kept.read_text()) if kept.exists() else 0
for step in range(done + 1, 21):
    trial.report(score=x * step, step=step)
    fresh = kept.with_suffix(".new")
    fresh.write_text(str(step))
    fresh.replace(kept)
    time.sleep(0.15)
"""
"""A curve of 20 steps whose height is x; goes on from its checkpoint, and takes three seconds in all.

A checkpoint is written beside the one before and renamed: what ends the trial may cut the write.
"""

"""Trials and their reports as tables of pandas and parquet: what is read back is what was there."""

import math
from pathlib import Path

import pytest
from late import LATE
from published_runs import START, StagedRun, finished_run, report, trial

from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError
from cloudtune.store.records import TrialState

if LATE:
    pd = pytest.importorskip("pandas")
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq


MIXED = {
    "whole": {"type": "int", "low": 1, "high": 9, "when": {"flag": True}},
    "flag": {"type": "categorical", "values": [True, False]},
    "number": {"type": "categorical", "values": [1, 2.5]},
    "mixed": {"type": "categorical", "values": [1, "auto", None]},
}


@pytest.fixture
def mixed(tmp_path: Path) -> StagedRun:
    run = StagedRun(tmp_path, space=MIXED)
    run.tell(
        trial(0, parameters={"flag": True, "whole": 7, "number": 1, "mixed": 1}),
        trial(1, parameters={"flag": False, "number": 2.5, "mixed": "auto"}),
        trial(2, TrialState.WAITING, parameters={"flag": False, "number": 1, "mixed": None}),
    )
    return run


def test_a_frame_keeps_whole_numbers_and_booleans_where_trials_have_none(mixed: StagedRun) -> None:
    frame = mixed.to_pandas()
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert types["number"] == "int64"
    assert types["params_whole"] == "Int64"
    assert types["params_flag"] == "bool"
    assert types["params_number"] == "float64"
    assert types["params_mixed"] == "object"
    assert frame["params_whole"].tolist() == [7, pd.NA, pd.NA]
    assert frame["params_mixed"].tolist()[:2] == [1, "auto"]
    assert frame["params_mixed"].isna().tolist() == [False, False, True]
    assert frame["duration"].tolist()[:2] == [5.0, 5.0]
    assert math.isnan(frame["duration"][2])


def test_parquet_keeps_types_and_makes_texts_of_mixed_values(mixed: StagedRun, tmp_path: Path) -> None:
    path = mixed.to_parquet(tmp_path / "trials.parquet")
    table = pq.read_table(path)
    kinds = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert (kinds["params_whole"], kinds["params_flag"], kinds["params_number"]) == ("int64", "bool", "double")
    assert table["params_mixed"].to_pylist() == ["1", '"auto"', None]
    assert table["params_whole"].to_pylist() == [7, None, None]
    frame = pd.read_parquet(path, dtype_backend="numpy_nullable")
    assert str(frame["params_whole"].dtype) == "Int64"
    assert frame["metrics_accuracy"].tolist()[:2] == [0.5, 0.51]
    assert frame["state"].tolist() == ["completed", "completed", "waiting"]


def test_reports_are_a_row_each_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    run.tell(reports=[report(0, 1, 2, accuracy=math.nan)])
    frame = run.reports_to_pandas()
    assert list(frame.columns) == ["number", "attempt", "step", "time", "metrics_accuracy", "metrics_loss"]
    assert frame["number"].tolist() == [2, 2, 2, 3, 3, 0]
    assert frame["step"].tolist() == [1, 2, 3, 1, 2, 1]
    assert frame["attempt"].tolist()[-1] == 2
    assert frame["time"].tolist()[:2] == [START + 21, START + 22]
    assert frame["metrics_accuracy"].tolist()[:2] == [0.3, 0.6]
    assert frame.isna().iloc[-1].tolist() == [False, False, False, False, True, True]
    read = pd.read_parquet(run.to_parquet(tmp_path / "reports.parquet", reports=True))
    pd.testing.assert_frame_equal(read, frame)


def test_a_run_without_trials_is_an_empty_table(tmp_path: Path) -> None:
    run = StagedRun(tmp_path)
    assert len(run.to_pandas()) == len(run.reports_to_pandas()) == 0
    assert pq.read_table(run.to_parquet(tmp_path / "empty.parquet")).num_rows == 0


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished_run(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[tables\]"):
        run.reports_to_pandas()
    with pytest.raises(ConfigError, match=r"pip install .*\[tables\]"):
        run.to_parquet(tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def test_the_command_line_writes_reports_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_app(["trials", "--reports", "--state", "pruned", "-o", "csv"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "number,attempt,step,time,metrics_accuracy,metrics_loss",
        f"3,1,1,{START + 31},0.25,1.0",
        f"3,1,2,{START + 32},0.30000000000000004,2.0",
    ]
    assert run_app(["trials", "--reports", "--state", "pruned"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["trial", "attempt", "step", "accuracy", "loss"],
        ["3", "1", "1", "0.25", "1"],
        ["3", "1", "2", "0.30000000000000004", "2"],
    ]
    assert run_app(["trials", "--reports", "-o", "reports.parquet"]) == 0
    assert pq.read_table("reports.parquet").num_rows == 5

"""A run as TensorBoard's event files, read back with TensorBoard's own backend."""

import math
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from late import LATE
from published_runs import START, StagedRun, charged_run, finished_run, report, stages, trial

from cloudtune.errors import ConfigError, ProviderError
from cloudtune.publishing import publisher_of
from cloudtune.space.space import Space
from cloudtune.store.records import TrialState
from cloudtune.testing.specs import spaces

if LATE:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
    from tensorboard.plugins.hparams.backend_context import Context
    from tensorboard.util.tensor_util import make_ndarray

    from cloudtune.publishing.events import STATUSES, Events, session_name

    ALL = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]


class Board:
    """A TensorBoard of a folder, which goes on reading when it is asked again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._multiplexer = EventMultiplexer()
        provider = MultiplexerDataProvider(self._multiplexer, str(folder))
        self._context = Context(TBContext(data_provider=provider))

    def read(self) -> "Board":
        self._multiplexer.AddRunsFromDirectory(str(self.folder))
        self._multiplexer.Reload()
        return self

    @property
    def experiment(self) -> Any:
        request = api_pb2.GetExperimentRequest(experiment_name="it")
        found = get_experiment.Handler(RequestContext(), self._context, "it", request)
        return found.run()

    @property
    def sessions(self) -> dict[str, Any]:
        """The session groups by name; fails if one has more than its trial."""
        request = api_pb2.ListSessionGroupsRequest(
            experiment_name="it", allowed_statuses=ALL, start_index=0, slice_size=10_000
        )
        found = list_session_groups.Handler(RequestContext(), self._context, "it", request).run()
        assert all(len(group.sessions) == 1 for group in found.session_groups)
        return {group.name: group for group in found.session_groups}

    def hparams(self, name: str) -> dict[str, Any]:
        group = self.sessions[name]
        return {key: getattr(value, value.WhichOneof("kind")) for key, value in group.hparams.items()}

    def metrics(self, name: str) -> dict[str, float]:
        """The values that TensorBoard's table shows, by the columns' headings."""
        headings = {info.name.tag: info.display_name or info.name.tag for info in self.experiment.metric_infos}
        return {headings[each.name.tag]: each.value for each in self.sessions[name].metric_values}

    def curve(self, name: str, tag: str) -> list[tuple[int, float, float]]:
        """Steps, seconds since 1970 and values of a scalar."""
        events = self._multiplexer.Tensors(name, tag)
        return [(each.step, each.wall_time, float(make_ndarray(each.tensor_proto))) for each in events]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "logs" / "digits-1a2b")


def publish(run: StagedRun, board: Board) -> Any:
    (published,) = run.publish(tensorboard=board.folder.parent)
    return published


def content(board: Board) -> dict[str, bytes]:
    return {
        str(path.relative_to(board.folder)): path.read_bytes() for path in board.folder.rglob("*") if path.is_file()
    }


def test_every_end_has_its_status() -> None:
    assert set(STATUSES) == {state for state in TrialState if state.ended}


def test_a_finished_run_is_read_back_as_it_was_however_often_it_is_published(tmp_path: Path, board: Board) -> None:
    run = finished_run(tmp_path)
    published = publish(run, board)
    assert published.look == f"tensorboard --logdir {board.folder}"
    board.read()
    infos = {info.name: info for info in board.experiment.hparam_infos}
    assert set(infos) == {"lr", "size", "kernel", "degree"}
    assert (infos["lr"].domain_interval.min_value, infos["lr"].domain_interval.max_value) == (1e-4, 1)
    assert [value.number_value for value in infos["size"].domain_discrete.values] == [16, 32, 64]
    assert [value.string_value for value in infos["kernel"].domain_discrete.values] == ["null", "poly", "rbf"]
    assert (infos["degree"].domain_interval.min_value, infos["degree"].domain_interval.max_value) == (2, 5)
    assert [info.display_name for info in board.experiment.metric_infos] == ["accuracy", "loss"]
    assert board.experiment.time_created_secs == START - 1
    sessions = board.sessions
    assert sorted(sessions) == [f"trial-000{number}" for number in range(6)]
    success, failure = api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE
    assert [sessions[session_name(number)].sessions[0].status for number in range(6)] == [success] * 4 + [failure] * 2
    third = sessions["trial-0002"].sessions[0]
    assert (third.start_time_secs, third.end_time_secs) == (START + 20, START + 25)
    assert board.hparams("trial-0002") == {"lr": 0.03, "size": 32, "kernel": "poly", "degree": 3}
    assert board.hparams("trial-0000") == {"lr": 0.5, "size": 16, "kernel": "null"}
    assert board.metrics("trial-0002") == {"accuracy": pytest.approx(0.9), "loss": 0.25}
    assert board.metrics("trial-0000") == {"accuracy": 0.5, "loss": 1.0}  # without any report
    assert board.metrics("trial-0005") == {}
    assert board.curve("trial-0002", "accuracy") == [
        (step, START + 20 + step, pytest.approx(0.3 * step)) for step in (1, 2, 3)
    ]
    assert any("kernel" in note for note in published.notes)
    before = content(board)
    publish(run, board)
    assert content(board) == before


@pytest.mark.parametrize("anew", [False, True], ids=["one publisher", "a new publisher each time"])
def test_a_tensorboard_that_stays_open_follows_a_live_run(tmp_path: Path, board: Board, anew: bool) -> None:
    run = StagedRun(tmp_path)
    with publisher_of(run, tensorboard=board.folder.parent) as one:
        one.publish()
    for stage in stages(run):
        if anew:
            publish(run, board)
        else:
            one.publish()
        board.read()
        names = sorted(board.sessions)
        if stage == "waiting":
            assert names == []
        if stage == "reported":
            assert board.sessions["trial-0000"].sessions[0].status == api_pb2.STATUS_UNKNOWN
            assert [step for step, _, _ in board.curve("trial-0000", "accuracy")] == [1, 2, 3]
            assert board.metrics("trial-0000") == {"accuracy": pytest.approx(0.9)}
        if stage == "reported by both":
            assert names == ["trial-0000", "trial-0001"]
            assert [value for _, _, value in board.curve("trial-0001", "accuracy")] == [pytest.approx(0.05)]
    statuses = [group.sessions[0].status for _, group in sorted(board.sessions.items())]
    assert statuses == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_SUCCESS]
    for each in (board, Board(board.folder).read()):  # one that was there all the time, one that is started afterwards
        curve = [(step, value) for step, _, value in each.curve("trial-0000", "accuracy")]
        assert curve == [(1, pytest.approx(0.1)), (2, pytest.approx(0.2)), (2, 0.25)]  # of the last attempt alone
        assert each.metrics("trial-0000") == {"accuracy": 0.25, "loss": 3.0}


def test_files_that_a_killed_writer_left_are_made_whole(tmp_path: Path, board: Board) -> None:
    run = finished_run(tmp_path)
    publish(run, board)
    whole = content(board)
    for name, data in whole.items():
        for left in (data[: len(data) // 2], data[:-1], b"", data + b"and more", b"something else"):
            (board.folder / name).write_bytes(left)
            publish(run, board)
            assert content(board) == whole
    (board.folder / "trial-0000" / ".new").write_bytes(b"half of it")
    publish(run, board)
    assert set(content(board)) >= set(whole)
    assert len(Board(board.folder).read().sessions) == 6


def test_a_live_file_only_grows(tmp_path: Path, board: Board) -> None:
    run = StagedRun(tmp_path)
    run.tell(trial(0, TrialState.RUNNING))
    publish(run, board)
    (path,) = (board.folder / "trial-0000").iterdir()
    known, kept = path.read_bytes(), path.stat().st_ino
    for step in (1, 2, 3):
        run.tell(reports=[report(0, step, accuracy=step / 10, loss=math.nan)])
        publish(run, board)
        assert path.read_bytes().startswith(known)
        assert len(path.read_bytes()) > len(known)
        known = path.read_bytes()
    run.tell(trial(0, metrics={"accuracy": 0.3, "loss": math.nan}))
    publish(run, board)
    assert path.read_bytes().startswith(known)
    assert path.stat().st_ino == kept
    assert math.isnan(Board(board.folder).read().curve("trial-0000", "loss")[-1][2])


def test_the_table_shows_the_value_that_counts(tmp_path: Path, board: Board) -> None:
    run = StagedRun(tmp_path, objective={"metric": "accuracy", "goal": "maximize", "measurement": "best"})
    run.tell(
        trial(0, metrics={"accuracy": 0.75}),
        reports=[report(0, step, accuracy=value) for step, value in enumerate([0.5, 0.75, 0.25], 1)],
    )
    publish(run, board)
    board.read()
    assert board.metrics("trial-0000") == {"accuracy": 0.75}
    assert [value for _, _, value in board.curve("trial-0000", "accuracy")] == [0.5, 0.75, 0.25]


@given(entries=spaces(), seed=st.integers(0, 2**31))
@settings(max_examples=examples(40), deadline=None)
def test_any_space_has_hparams_of_one_type_each(entries: dict[str, Any], seed: int) -> None:
    space, draw = Space(entries), random.Random(seed)
    events = Events(space)
    for _ in range(3):
        values = space.at([draw.random() for _ in space.dimensions])
        told = {name: events.value(name, value) for name, value in values.items()}
        for name, value in told.items():
            assert type(value) is events.kind(name)
            assert value == values[name] or events.kind(name) is str
        assert b"".join(events.session(trial(0, parameters=values), [], START))


@pytest.mark.parametrize("place", ["a file", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(ProviderError, match="tensorboard at "):
        finished_run(tmp_path).publish(tensorboard=tmp_path / place)


def test_tensorboard_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.plugins.hparams.summary_v2", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[tensorboard\]"):
        finished_run(tmp_path).publish(tensorboard=tmp_path)


def test_what_trials_cost_is_a_column_that_says_the_currency(tmp_path: Path, board: Board) -> None:
    run = charged_run(tmp_path)
    publish(run, board)
    board.read()
    assert board.metrics("trial-0000")["cost (EUR)"] == 0.5
    assert board.metrics("trial-0001") == {"cost (EUR)": 0.0}
    assert "cost (EUR)" not in board.metrics("trial-0002")


def test_a_column_says_which_trials_keep_the_constraints(tmp_path: Path, board: Board) -> None:
    run = StagedRun(tmp_path, constraints={"metric": "loss", "max": 1})
    kept, broken = {"accuracy": 0.5, "loss": 0.5}, {"accuracy": 0.9, "loss": 2.0}
    run.tell(trial(0, metrics=kept), trial(1, metrics=broken), trial(2, TrialState.PRUNED, metrics=kept))
    run.end()
    publish(run, board)
    board.read()
    found = [board.metrics(name).get("feasible") for name in sorted(board.sessions)]
    assert found == [1.0, 0.0, None]

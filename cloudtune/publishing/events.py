"""Records of TensorBoard's event files: an experiment of HParams and its sessions, one per trial.

The messages are those of the HParams plugin (tensorboard.plugins.hparams.summary_v2, .metadata) and of scalars
(tensorboard.summary.Writer); a record has the format of tensorboard.summary.writer.record_writer.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_SCALAR, Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.plugins.scalar.metadata import PLUGIN_NAME as SCALARS
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from cloudtune.publishing.points import Point
from cloudtune.space.axes import ListedAxis
from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Dimension, Space
from cloudtune.store.records import RunRecord, Trial, TrialState

STATUSES = {
    TrialState.COMPLETED: api_pb2.STATUS_SUCCESS,
    TrialState.PRUNED: api_pb2.STATUS_SUCCESS,
    TrialState.FAILED: api_pb2.STATUS_FAILURE,
    TrialState.CANCELLED: api_pb2.STATUS_FAILURE,
}
"""The status of the session of an ended trial; the sessions of other trials have no end."""


class Events:
    """Encoder of a run's records.

    HParams needs all values of a parameter to be numbers, booleans or texts; mixed values and null become JSON texts.

    Args:
        space: the run's space.

    Attributes:
        several_types: the names of the parameters whose values are JSON texts.
    """

    def __init__(self, space: Space) -> None:
        self._parameters = {
            name: _hparam(name, [each for each in space.dimensions if each.name == name]) for name in space.names
        }

        self.several_types = tuple(
            each.name
            for each in space.dimensions
            if self.kind(each.name) is str
            and not all(isinstance(value, str) for value in getattr(each.axis, "values", [None]))
        )

    def kind(self, name: str) -> type:
        """Return the type of a parameter's values in HParams: float, bool or str."""
        parameter = self._parameters.get(name)
        kind: type = str if parameter is None or parameter.domain is None else parameter.domain.dtype
        return kind

    def experiment(self, record: RunRecord, tags: Mapping[str, str]) -> Iterator[bytes]:
        """Yield the records of the experiment: its parameters and metrics.

        Args:
            record: the run's record.
            tags: the tag of the scalar that holds a metric's final value, by the metric's name.
        """
        yield _version(record.created)
        metrics = [summary_v2.Metric(tag, display_name=metric) for metric, tag in tags.items()]
        yield _record(
            record.created,
            summary_v2.hparams_config_pb(list(self._parameters.values()), metrics, time_created_secs=record.created),
        )

    def session(self, trial: Trial, points: Sequence[Point], began: float) -> Iterator[bytes]:
        """Yield the records of one trial: its parameters, the points of its curves, and its end if it has ended.

        The START record makes an open TensorBoard discard the curves of an earlier attempt.

        Args:
            trial: the trial.
            points: the points of its curves.
            began: its start in seconds since 1970.
        """
        values = {name: self.value(name, value) for name, value in trial.parameters.items()}
        yield _version(began)
        yield _framed(Event(wall_time=began, session_log=SessionLog(status=SessionLog.START)))
        yield _record(began, summary_v2.hparams_pb(values, trial_id=session_name(trial.number), start_time_secs=began))
        for point in points:
            yield _scalar(point)
        if trial.state.ended:
            end = trial.ended or began
            yield _record(end, _end_of_session(STATUSES[trial.state], end))

    def nothing(self) -> Iterator[bytes]:
        """Yield the records that replace those of an earlier attempt: only the file version."""
        yield _version(0.0)

    def value(self, name: str, value: Scalar) -> bool | float | str:
        if self.kind(name) is str or value is None or isinstance(value, str):
            return _text(value)
        return value if isinstance(value, bool) else float(value)


def session_name(number: int) -> str:
    """Return the name of a trial's session, padded since TensorBoard sorts names as texts."""
    return f"trial-{number:04d}"


def _text(value: Scalar) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _hparam(name: str, variants: Sequence[Dimension]) -> summary_v2.HParam:
    """Return a parameter for HParams with a domain that spans all its variants."""
    listed = [each.axis.values for each in variants if isinstance(each.axis, ListedAxis)]
    ranges = [each.axis for each in variants if not isinstance(each.axis, ListedAxis)]
    values = [value for each in listed for value in each]
    booleans = [value for value in values if isinstance(value, bool)]
    if len(booleans) == len(values) and not ranges:
        return summary_v2.HParam(name, summary_v2.Discrete(sorted(set(booleans)), dtype=bool))
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):  # HParams has no domain for a range of numbers and texts together
        texts = list(dict.fromkeys(_text(value) for value in values))
        return summary_v2.HParam(name, None if ranges else summary_v2.Discrete(texts, dtype=str))
    if not ranges:
        return summary_v2.HParam(name, summary_v2.Discrete(sorted(set(numbers)), dtype=float))
    ends = numbers + [float(axis.at(end)) for axis in ranges for end in (0.0, 1.0)]  # type: ignore[arg-type]  # numbers
    return summary_v2.HParam(name, summary_v2.RealInterval(min(ends), max(ends)))


def _end_of_session(status: int, ended: float) -> Summary:
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    described = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
    summary = Summary()
    summary.value.add(tag=metadata.SESSION_END_INFO_TAG, metadata=described, tensor=metadata.NULL_TENSOR)
    return summary


@lru_cache(maxsize=100_000)
def _scalar(point: Point) -> bytes:
    """Return the record of a point; cached, since the points of running trials are encoded at every update."""
    described = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name=SCALARS), data_class=DATA_CLASS_SCALAR
    )
    summary = Summary()
    with np.errstate(over="ignore"):  # TensorBoard's scalars are of single precision
        value = np.float32(point.value)
    summary.value.add(tag=point.name, metadata=described, tensor=make_tensor_proto(value))
    return _record(point.time, summary, point.step)


def _version(moment: float) -> bytes:
    """Return the version record, the first of every event file."""
    return _framed(Event(wall_time=moment, file_version="brain.Event:2"))


def _record(moment: float, summary: Summary, step: int = 0) -> bytes:
    return _framed(Event(wall_time=moment, step=step, summary=summary))


def _framed(event: Event) -> bytes:
    data = io.BytesIO()
    RecordWriter(data).write(event.SerializeToString(deterministic=True))
    return data.getvalue()

"""What clients of SageMaker ask of CloudWatch Logs and moto answers otherwise than the service."""

import json

from moto.logs.exceptions import InvalidParameterException
from moto.logs.responses import LogsResponse


class LogsOperations(LogsResponse):
    """Moto's CloudWatch Logs, whose events can be asked for by the prefix of their streams."""

    def filter_log_events(self) -> str:
        """FilterLogEvents: of all streams, those named, or those with a prefix; always in the order of time."""
        prefix, names = self._get_param("logStreamNamePrefix"), self._get_param("logStreamNames") or []
        group = self._get_param("logGroupName")
        if prefix and names:
            raise InvalidParameterException(
                "must not be given together with logStreamNames", "logStreamNamePrefix", prefix
            )
        if prefix and group in self.logs_backend.groups:
            names = [name for name in self.logs_backend.groups[group].streams if name.startswith(prefix)]
            if not names:
                return json.dumps({"events": [], "searchedLogStreams": []})
        asked = ("startTime", "endTime", "limit", "nextToken", "filterPattern")
        start, end, limit, token, pattern = (self._get_param(name) for name in asked)
        events, token, searched = self.logs_backend.filter_log_events(
            group, names, start, end, limit, token, pattern, interleaved=True
        )
        answer = {"events": events, "searchedLogStreams": searched}
        return json.dumps(answer if token is None else {**answer, "nextToken": token})

"""What an emulator raises where it answers a call with an error."""


class Refused(Exception):  # an answer, not an error of ours
    """A call that is answered with an error.

    Attributes:
        status: of HTTP.
        code: the service's.
        message: for its reader.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(message)

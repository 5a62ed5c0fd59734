"""The two ways a command ends badly: the user can mend it (2), or it failed (1)."""


class SlotbenchError(Exception):
    """A failure that is not the user's mistake; shown without a traceback.

    ``advice`` says what to type or look at next, on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


class UserError(SlotbenchError):
    """Input that the user can correct: the message names the file, field or option."""

    exit_code = 2


class TrainingError(SlotbenchError):
    """A run that cannot go on, such as one whose loss is no longer finite."""


class NotFinite(TrainingError, ValueError):  # noqa: N818  # says what is so
    """NaN or infinite numbers where finite ones are needed."""


class RunLocked(UserError):  # noqa: N818  # says what is so
    """Another process holds the run."""


def interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C began it: a library may raise another error while it handles that."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None

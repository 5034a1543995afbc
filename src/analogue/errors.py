"""The one exception for what a user can put right."""


class UserError(Exception):
    """Something a user can change: which key, its value, what is wrong and what would work.

    Entry points print it as one sentence, without a traceback, and exit with code 1.
    """

    def __init__(self, key: str, value: object, problem: str) -> None:
        super().__init__(f"{key}={value}: {problem}")
        self.key = key
        self.value = value


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; its kind, where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__

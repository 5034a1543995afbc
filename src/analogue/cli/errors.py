"""The one exception of the shell, for what a user can put right."""


class UserError(Exception):
    """A configuration key that a user can change: its value, what is wrong and what would work.

    Entry points print it as one sentence, without a traceback, and exit with code 1.
    """

    def __init__(self, key: str, value: object, problem: str) -> None:
        super().__init__(f"{key}={value}: {problem}")
        self.key = key
        self.value = value

"""The offline default: two small language models, their SAEs and a story corpus, shipped with the package."""

from pathlib import Path

from analogue.errors import NotFound

ASSETS = Path(__file__).parent / "assets"
PREFIX = "embedded:"


def locate(name: str, argument: str) -> str:
    """Turn `embedded:stories-6` into its path on this machine; any other name is returned as it is.

    Args:
        name: a hub id, a path, or `embedded:` followed by a path under the package's assets.
        argument: the name of the argument that the name came from, for the error.

    Raises:
        NotFound: no embedded asset has that name.
    """
    if not name.startswith(PREFIX):
        return name
    path = ASSETS / name.removeprefix(PREFIX)
    if not path.exists():
        known = ", ".join(sorted(PREFIX + entry.name for entry in ASSETS.iterdir()))
        raise NotFound(argument, name, f"is not an embedded asset; there are {known}")
    return str(path)

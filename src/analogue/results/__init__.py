"""What a comparison leaves on disk, and how it is read back."""

from analogue.results.record import (
    ComparisonResult,
    CorpusRecord,
    SideRecord,
    SpansRecord,
    flatten,
    label,
    read_results,
    write_result,
)

__all__ = [
    "ComparisonResult",
    "CorpusRecord",
    "SideRecord",
    "SpansRecord",
    "flatten",
    "label",
    "read_results",
    "write_result",
]

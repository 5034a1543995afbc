"""Results to something to look at."""

from analogue.reporting.record import (
    ComparisonResult,
    CorpusRecord,
    SideRecord,
    SpansRecord,
    label,
    read_results,
    write_result,
)

__all__ = ["ComparisonResult", "CorpusRecord", "SideRecord", "SpansRecord", "label", "read_results", "write_result"]

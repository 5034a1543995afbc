"""Results to something to look at."""

from analogue.reporting.record import ComparisonResult, CorpusRecord, SideRecord, label, read_results, write_result

__all__ = ["ComparisonResult", "CorpusRecord", "SideRecord", "label", "read_results", "write_result"]

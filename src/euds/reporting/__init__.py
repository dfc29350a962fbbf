"""The report: a page, a table and figures, made from a run and, if there is one, its proof."""

from euds.reporting.report import REPORT_NAMES, write_report

__all__ = ["REPORT_NAMES", "write_report"]

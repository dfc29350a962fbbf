"""The report: one page, one table, and the figures, made from a run and, if there is one, its proof."""

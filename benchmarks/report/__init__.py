"""The report: from a benchmark's record to a page, a picture, a table, and comparisons."""

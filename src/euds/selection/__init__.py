"""From scores to the rows that are kept, with a reason for every row that is not."""

"""One self-contained HTML page, or a few lines of text, from the results of an evaluation."""

"""The command line: the table of verbs, and one thin file a verb."""

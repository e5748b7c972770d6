"""What flows: records and corpora, clips, batches, and the only code that opens media."""

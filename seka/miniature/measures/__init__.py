"""What the embedded model is measured by: rows, ways to heed a mark, what is counted, the card. Imports nothing."""

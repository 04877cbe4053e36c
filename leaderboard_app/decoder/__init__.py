"""What the page of one decoder says: pure functions on records and cards, and its plots."""

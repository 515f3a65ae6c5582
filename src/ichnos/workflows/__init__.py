"""One file a story: start reading the code here."""

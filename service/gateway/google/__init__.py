"""/language/translate/v2: what clients of Google Cloud Translation ask, answered in its shapes."""

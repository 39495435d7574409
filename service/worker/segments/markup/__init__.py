"""A text with markup as the sentences in it, and their translations with their tags back where they belong."""

"""A text as the segments that a translator reads one by one, and what stands between them."""

"""One served model: text requests in, events out."""

"""From files to examples: read, cleaned, held apart, spooled, encoded, batched. Knows nothing of models."""

"""The training job. Meets serving only through a checkpoint directory."""

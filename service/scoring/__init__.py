"""Scores of checkpoints, measured on what the serving engine answers.

`recipes` has the scores that a checkpoint is published with, `measuring` what `triptych evaluate` does with any file;
`evaluating` and `steering` compute what `tables` shows.
"""

from service.scoring.recipes import score, score_alike

__all__ = ["score", "score_alike"]

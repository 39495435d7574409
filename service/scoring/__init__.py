"""Scores of checkpoints, measured on what the serving engine answers.

`published` has the scores that a checkpoint is published with, `measuring` what `triptych evaluate` does with any file,
`tasks` what both do for each task; `evaluating` and `steering` compute what `tables` shows.
"""

from service.scoring.published import score, score_alike

__all__ = ["score", "score_alike"]

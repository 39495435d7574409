"""Scores of checkpoints, measured on what the serving engine answers.

`measuring` has what `triptych publish` and `triptych evaluate` do, `tasks` what both do for each task; `evaluating` and
`steering` compute what `tables` shows.
"""

from service.scoring.measuring import score, score_alike

__all__ = ["score", "score_alike"]

"""How checkpoints are measured: a module for each task, and one dict of them."""

from service.scoring.tasks.classify import Classify
from service.scoring.tasks.generate import Generate
from service.scoring.tasks.pretrain import Pretrain
from service.scoring.tasks.task import MeasuredTask
from service.scoring.tasks.translate import Translate

MEASURED: dict[str, MeasuredTask] = {task.name: task for task in (Translate(), Generate(), Classify(), Pretrain())}

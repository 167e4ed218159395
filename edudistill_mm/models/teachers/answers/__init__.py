from .answer_table import AnswerTable
from .keeping import Keeping
from .kept_answers import KeptAnswers
from .open_answers import open_answers

__all__ = ['AnswerTable', 'Keeping', 'KeptAnswers', 'open_answers']

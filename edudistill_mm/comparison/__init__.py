"""Trainings side by side: the plan, the runs, their costs, and what is written about them."""

"""Trainings side by side: plans, runs, their costs, and reports."""

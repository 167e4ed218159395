"""Measure what education distillation costs, as ratios within one run."""

from edudistill_mm.apis.cli import benchmark

if __name__ == '__main__':
    benchmark()

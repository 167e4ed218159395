# The rows of small.py that did best, each with the student FLOPs of 18 epochs of KD:
#     python tools/compare.py configs/compare/small_equal_cost.py --jobs 2

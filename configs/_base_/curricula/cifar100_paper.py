# The curriculum of the paper (arXiv 2311.13811) on CIFAR-100: an expert, a fragment and a share of
# the classes join at each grade, and the optimizer starts afresh. It keeps the paper's promotions,
# so the last fragment trains at 1/100 of the learning rate and less; the other curricula do better
# by it.
curriculum = dict(
    num_classes=100,
    class_order=None,
    grades=[
        dict(name='primary', epochs=150, fragments=1, classes=33, teachers=['primary'], samples='by_teacher'),
        dict(name='middle', epochs=30, fragments=2, classes=33, teachers=['middle'], samples='by_teacher',
             optimizer='reset'),
        dict(name='university', epochs=60, fragments=3, classes=34, teachers=['university'],
             samples='by_teacher', optimizer='reset'),
    ])

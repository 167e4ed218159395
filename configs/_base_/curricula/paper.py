# The curriculum of the paper (arXiv 2311.13811): an expert, a fragment and a third of the classes
# join at each grade (of 100 classes 0-32, 33-65 and 66-99), and the optimizer starts afresh. It
# keeps the paper's promotions, so the last fragment trains at 1/100 of the learning rate and less;
# the other curricula do better by it.
curriculum = dict(
    num_classes='auto',
    grades=[
        dict(name='primary', epochs=150, fragments=1, classes=1 / 3, teachers=['primary'],
             samples='by_teacher'),
        dict(name='middle', epochs=30, fragments=2, classes=1 / 3, teachers=['middle'],
             samples='by_teacher', optimizer='reset'),
        dict(name='university', epochs=60, fragments=3, classes='all', teachers=['university'],
             samples='by_teacher', optimizer='reset'),
    ])

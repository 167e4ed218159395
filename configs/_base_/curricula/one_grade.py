# No curriculum: all classes, all teachers and the whole student from the start.
curriculum = dict(num_classes='auto', grades=[dict(epochs=240, classes='all')])

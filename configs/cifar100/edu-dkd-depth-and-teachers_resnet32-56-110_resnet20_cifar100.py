# CIFAR-100: ResNet-20 learns all classes from the start; as it deepens, ResNet-32, ResNet-56 and
# ResNet-110 join one after the other, with DKD.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet20.py',
    '../_base_/models/resnet32_56_110.py',
    '../_base_/experiments/edu_dkd.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.teachers,
    curriculum=dict(grades=[
        dict(name='primary', epochs=60, fragments=1, classes='all', teachers=['resnet32']),
        dict(name='middle', epochs=60, fragments=2, classes=0, teachers=['resnet56']),
        dict(name='university', epochs=120, fragments=3, classes=0, teachers=['resnet110']),
    ]))

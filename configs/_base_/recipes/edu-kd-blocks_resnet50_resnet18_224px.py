# ResNet-18 from the zoo's ResNet-50, fine-tuned, grows by blocks inside its stages, with KD, at
# 224x224 pixels; the config adds data and input shape.
_base_ = [
    '../models/resnet18.py',
    '../models/resnet50_zoo.py',
    '../experiments/edu_kd_two_blocks.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=_base_.teachers)

# CIFAR-100: ResNet-18 from the zoo's ResNet-50, with DKD in three grades.
#     python tools/train.py configs/edu_dkd_cifar100.py
# Images and teacher are downloaded on first use; local copies are named by
#     --cfg-options data_root=/path/to/cifar100 model.teachers.0.ckpt=/path/to/resnet50.pth
_base_ = [
    '_base_/datasets/cifar100.py',
    '_base_/models/resnet18_small_images.py',
    '_base_/models/resnet50_zoo_cifar100.py',
    '_base_/experiments/edu_dkd.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.teachers)

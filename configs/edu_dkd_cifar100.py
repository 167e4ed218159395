# Education distillation on CIFAR-100 from MMPretrain's ResNet-50 (79.90 %) to its ResNet-18, with
# DKD. Images and teacher are downloaded on first use; local copies are named by
#     python tools/train.py configs/edu_dkd_cifar100.py \
#         --cfg-options data_root=/path/to/cifar100 model.teachers.0.ckpt=/path/to/resnet50.pth
_base_ = [
    '_base_/datasets/cifar100.py',
    '_base_/models/resnet18_cifar100.py',
    '_base_/models/resnet50_teacher_cifar100.py',
    '_base_/schedules/sgd_cifar100.py',
    '_base_/curricula/cifar100_3grades.py',
    '_base_/distillers/dkd.py',
    '_base_/default_runtime.py',
]

model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent', student={{_base_.student}}),
    teachers=[
        dict(
            name='resnet50', architecture={{_base_.generalist.architecture}}, ckpt={{_base_.generalist.ckpt}},
            classes='all')
    ],
    distiller={{_base_.distiller}},
    task_loss_weight={{_base_.task_loss_weight}},
    curriculum={{_base_.curriculum}})
custom_hooks = [dict(type='GradeSchedulerHook'), {{_base_.distill_warmup}}]
# DKDLoss takes the logarithm of a softmax: one step too far makes it infinite.
optim_wrapper = dict(clip_grad=dict(max_norm=5))

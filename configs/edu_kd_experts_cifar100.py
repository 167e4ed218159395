# The paper's own setting (arXiv 2311.13811, section 7 of its public code): ResNet-20 from three
# ResNet-110 experts on a share of the classes each, promotions at epochs 150 and 180. The experts
# train first, by the same recipe:
#     python tools/train.py configs/edu_kd_experts_cifar100.py --train-teachers
_base_ = [
    '_base_/datasets/cifar100.py',
    '_base_/models/resnet20_cifar100.py',
    '_base_/models/resnet110_experts_cifar100.py',
    '_base_/schedules/sgd_cifar100.py',
    '_base_/schedules/multistep_240e.py',
    '_base_/curricula/cifar100_paper.py',
    '_base_/distillers/kd_experts.py',
    '_base_/default_runtime.py',
]

model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent', student={{_base_.student}}),
    teachers={{_base_.teachers}},
    distiller={{_base_.distiller}},
    task_loss_weight={{_base_.task_loss_weight}},
    curriculum={{_base_.curriculum}})
custom_hooks = [dict(type='GradeSchedulerHook')]

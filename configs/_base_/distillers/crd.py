# Tian et al. 2020: CE + 0.8 contrastive loss of the pooled features (128 dimensions, T = 0.07, 16384
# negatives, a memory of the training set). dim_in are the widths of resnet18_small_images.py's and
# resnet50_zoo_cifar100.py's features, sample_n is the number of training images. The loss needs
# to know which image it sees; a config that uses this file says
#     train_dataloader = dict(
#         dataset=dict(
#             _delete_=True, type='mmrazor.CRDDataset', neg_num=16384, percent=1.0,
#             dataset=dict(_base_.train_dataloader.dataset, pipeline=[
#                 *_base_.train_dataloader.dataset.pipeline[:-1], dict(type='mmrazor.PackCRDClsInputs')])))
task_loss_weight = 1.0
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck.gap'),
        data_samples=dict(type='ModuleInputs', source='')),
    teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='neck.gap')),
    connectors=dict(
        student=dict(type='CRDConnector', dim_in=512, dim_out=128),
        teacher=dict(type='CRDConnector', dim_in=2048, dim_out=128)),
    distill_losses=dict(
        loss_crd=dict(type='CRDLoss', neg_num=16384, sample_n=50000, dim_out=128, loss_weight=0.8)),
    loss_forward_mappings=dict(
        loss_crd=dict(
            s_feats=dict(from_student=True, recorder='feature', connector='student'),
            t_feats=dict(from_student=False, recorder='feature', connector='teacher'),
            data_samples=dict(from_student=True, recorder='data_samples', data_idx=1))))

#!/usr/bin/env bash
# What a session with a GPU measures, the most valuable first; rehearsed on a CPU by DRY=1.
#     bash tools/gpu/measure.sh DATA_ROOT OUT [SECONDS]
# DATA_ROOT holds cifar-100-python/; results and logs go to OUT as they come. What would not fit into the
# seconds that are left (540) is left out. A rehearsal leaves no work_dirs behind, and wants none to be there.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data="$1" out="$2" limit="${3:-540}"
mkdir -p "$out"
out=$(realpath "$out")
export PYTHONPATH="${PYTHONPATH:-}:$PWD"
kd=configs/cifar100/kd_resnet110_resnet20_cifar100.py
epochs=240 iteration=() test_options=(-n 14) visible=0
if [ -n "${DRY:-}" ]; then
    epochs=1 iteration=(--repeats 1) test_options=(--co) visible=''
    if [ -e work_dirs ]; then echo "DRY=1 needs a checkout without work_dirs" >&2; exit 1; fi
    trap 'rm -rf work_dirs' EXIT
fi
# Where configs look for it: what a record says of the data must agree.
mkdir -p data
if [ -L data/cifar100 ] || [ ! -e data/cifar100 ]; then
    ln -sfn "$(realpath "$data")" data/cifar100
elif [ "$(realpath data/cifar100)" != "$(realpath "$data")" ]; then
    echo "data/cifar100 is there, and is not $data" >&2
    exit 1
fi

left() { echo $((limit - SECONDS)); }
job() { # job NAME SECONDS COMMAND...: run it, if it fits, and tell how long it took
    local name="$1" needs="$2" begin=$SECONDS
    shift 2
    if [ "$(left)" -lt "$needs" ]; then echo "$name: left out, $(left) s are left"; return; fi
    timeout "$(left)" "$@" > "$out/$name.log" 2>&1
    echo "$name: status $?, $((SECONDS - begin)) s"
}

# A teacher of random weights costs what a trained one does.
python3 - "$out/resnet110.pth" <<'P'
import sys
import torch
from edudistill_mm.config.load import load_config
from edudistill_mm.models.network import build_network
run = load_config('configs/cifar100/kd_resnet110_resnet20_cifar100.py', {'model.teacher.head.num_classes': 100})
torch.save(dict(state_dict=build_network(run.teachers[0]['architecture'], 'teacher').state_dict()), sys.argv[1])
P
set_up=(data_root="$data" model.teacher_ckpt="$out/resnet110.pth" default_hooks.logger.interval=1000)
if [ -n "${DRY:-}" ]; then
    set_up+=(train_dataloader.dataset.indices=256 val_dataloader.dataset.indices=256 model.teacher.backbone.depth=8)
    python3 - "$out/resnet110.pth" <<'P'
import sys
import torch
sys.path.insert(0, 'tools/gpu')
from captured_loop import ResNet
torch.save(dict(state_dict=ResNet(8).state_dict()), sys.argv[1])
P
fi

compare() { # compare PLAN SECONDS RUNS_AT_ONCE: the whole plan; its reports and records go to OUT
    local options=() places=(--gpus $(yes 0 | head -n "$3"))
    if [ -n "${DRY:-}" ]; then
        options=(--cfg-options train_dataloader.dataset.indices=128 val_dataloader.dataset.indices=128)
        places=(--jobs 2)
    fi
    job "$1" "$2" python3 tools/compare.py "configs/compare/$1.py" "${places[@]}" "${options[@]}"
    [ -d "work_dirs/compare_$1" ] || return
    (cd work_dirs && find "compare_$1" \( -name r\*.json -o -name 'report.*' \) -exec cp --parents {} "$out" \;)
    # What a later session goes on from.
    local file unfinished=()
    for file in "work_dirs/compare_$1"/*/*/last_checkpoint; do
        [ -e "$file" ] && [ ! -e "${file%/*}/result.json" ] || continue
        unfinished+=("$file" "$(realpath --relative-to=. "$(cat "$file")")")
    done
    [ ${#unfinished[@]} = 0 ] || tar czf "$out/$1_unfinished.tgz" "${unfinished[@]}"
}

# All of CIFAR-100 at a longer budget than the one that has been measured. Runs whose records are in the
# repository are not repeated. Under MPS, where there is one, kernels of several trainings run at once.
mps=
if [ -z "${DRY:-}" ]; then
    for run in docs/records/*/*/*; do
        place="work_dirs/${run#docs/records/}"
        [ -e "$place" ] || { mkdir -p "$place" && cp "$run"/* "$place"; }
    done
    mps=$(command -v nvidia-cuda-mps-control) && "$mps" -d > /dev/null 2>&1 || mps=
fi
# Asked on the way, the teacher would be launched kernel by kernel in each step.
options=(model.keep_answers=True model.channels_last=True train_dataloader.resident.views_per_image=16)
[ -z "${DRY:-}" ] || options+=(train_dataloader.dataset.indices=128)
job fill 30 python3 tools/fill_answers.py configs/cifar100/dkd-stable_resnet56_resnet20_cifar100.py \
    --work-dir work_dirs/compare_cifar100_long/row --batch-size 2048 --cfg-options "${options[@]}"
compare cifar100_long 460 4
[ -z "$mps" ] || echo quit | "$mps"
CUDA_VISIBLE_DEVICES="$visible" job tests 60 python3 -m pytest -q "${test_options[@]}" -m cuda tests/engine/test_cuda.py
job iteration 60 python3 tools/benchmark.py --iteration "${iteration[@]}"
job loader 30 python3 tools/benchmark.py --loader "${iteration[@]}"
job kept_answers 30 python3 tools/benchmark.py --kept-answers "${iteration[@]}"
# Its networks are those of a card, too large to be rehearsed.
[ -n "${DRY:-}" ] || job limit 60 python3 tools/benchmark.py --limit "${iteration[@]}"
train() { # train NAME EPOCHS OPTIONS...
    local name="$1" length="$2"
    shift 2
    job "$name" 20 python3 tools/train.py "$kd" --no-teacher-test --epochs "$length" \
        --work-dir "$out/$name" --cfg-options "${set_up[@]}" "$@"
}
train asked_2_epochs 2
train plain_2_epochs 2 model.cuda_graphs=False
train kept_2_epochs 2 model.keep_answers=True train_dataloader.resident.views_per_image=4
# The whole of it, in one piece.
train kept_240_epochs $epochs model.keep_answers=True

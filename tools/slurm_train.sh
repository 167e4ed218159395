#!/usr/bin/env bash
# Trains in the processes of a slurm job, one a GPU:
#     GPUS=8 bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
# GPUS is the number of processes, GPUS_PER_NODE how many of them run on one machine; GPUS_PER_NODE=0 asks for no GPU
# (gloo). SRUN_ARGS are more arguments of srun. PORT is a free port of the first machine.
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS= PORT=29500] $0 PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]" >&2
    exit 2
fi
partition="$1" job="$2" config="$3" work_dir="$4"
shift 4
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
gpus_per_node="${GPUS_PER_NODE:-8}"
per_node=()
if [ "$gpus_per_node" -gt 0 ]; then
    per_node=(--gres "gpu:$gpus_per_node" --ntasks-per-node "$gpus_per_node")
fi

# One process that fails ends the job: the others would wait for it.
# SRUN_ARGS is several words.
# shellcheck disable=SC2086
PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" MASTER_PORT="${PORT:-29500}" exec srun \
    --partition "$partition" --job-name "$job" --ntasks "${GPUS:-8}" "${per_node[@]}" \
    --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$tools/train.py" "$config" --work-dir "$work_dir" --launcher slurm "$@"

#!/usr/bin/env bash
# Trains in several processes of this machine, one a GPU (without GPUs by gloo):
#     bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# On several machines, run it on each: NNODES machines, this one being NODE_RANK (from 0), the first reachable at
# MASTER_ADDR:PORT.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: [NNODES=1 NODE_RANK=0 MASTER_ADDR=127.0.0.1 PORT=29500] $0 CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
config="$1" gpus="$2"
shift 2
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# torchrun hands on SIGUSR1 only if it is told to; by which of the two depends on its version.
signals=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1
TORCHELASTIC_SIGNALS_TO_HANDLE=$signals PET_SIGNALS_TO_HANDLE=$signals \
    PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}" --nproc_per_node "$gpus" \
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}" \
    "$tools/train.py" "$config" --launcher pytorch "$@"

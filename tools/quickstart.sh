#!/usr/bin/env bash
# Sets up an environment and runs, from a fresh clone:
#     bash tools/quickstart.sh          three digit experts and their student: train, export, test
#     bash tools/quickstart.sh tests    the linters, mypy and the test suite
#     bash tools/quickstart.sh slow     the tests that the suite leaves out because they take long
#     bash tools/quickstart.sh onedl    the digits on OneDL's packages; needs an environment without OpenMMLab's
# The environment is $EDUDISTILL_VENV, else an active one, else ./.venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

job="${1:-digits}"
case "$job" in
    digits | onedl) extras="" ;;
    tests | slow) extras="[tests]" ;;
    *) echo "error: unknown job \"$job\"; possible are: digits (the default), tests, slow, onedl" >&2; exit 2 ;;
esac

supported='import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))'
if [ -z "${EDUDISTILL_VENV:-}" ] && [ -n "${VIRTUAL_ENV:-}" ]; then
    venv="$VIRTUAL_ENV"
else
    venv="${EDUDISTILL_VENV:-.venv}"
fi
if [ "$job" = onedl ] && [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip show --quiet mmengine 2>/dev/null; then
    echo "error: $venv has OpenMMLab's packages; name another environment for OneDL's by EDUDISTILL_VENV" >&2
    exit 2
fi
if [ ! -x "$venv/bin/python" ]; then
    base=""
    for candidate in python3.12 python3.11 python3.10 python3 python; do
        if "$candidate" -c "$supported" 2>/dev/null; then base="$candidate"; break; fi
    done
    if [ -z "$base" ]; then
        echo "error: no Python 3.10, 3.11 or 3.12 found; install one of them" >&2
        exit 2
    fi
    echo "Creating $venv with $("$base" --version)"
    "$base" -m venv "$venv" || {
        rm -rf "$venv"
        echo "error: $base cannot create environments; install its venv module (Debian: apt install python3-venv)" >&2
        exit 2
    }
fi
python="$venv/bin/python"
"$python" -c "$supported" || {
    echo "error: $("$python" --version) of $venv is not supported; use Python 3.10, 3.11 or 3.12" >&2
    exit 2
}

echo "Installing edudistill_mm into $venv"
if [ "$job" = onedl ]; then "$python" -m pip install --quiet -r requirements/onedl.txt; fi
"$python" -m pip install --quiet -e ".$extras"

if [ "$job" = tests ]; then
    "$python" -m ruff check .
    "$venv/bin/lint-imports" --no-cache
    "$python" -m mypy
    "$python" -m pytest -n 2
elif [ "$job" = slow ]; then
    "$python" -m pytest -n 2 -m slow
    "$python" tools/dev/students_table.py --check
else
    work=work_dirs/edu_kd_digits
    "$python" tools/train.py configs/edu_kd_digits.py --train-teachers
    echo "Testing the exported student"
    "$python" tools/test.py configs/edu_kd_digits.py $work/student.pth
fi

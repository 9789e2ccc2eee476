#!/bin/bash
# An array job whose tasks share one suite: each takes the next trial that nobody has.
#   SUITE=mnist RESULTS=/shared/results sbatch benchmarks/slurm/array.sh
#   sbatch --dependency=afterany:JOBID --wrap ".venv/bin/gan-bench report /shared/results"
#SBATCH --job-name=gan_bench
#SBATCH --array=0-19
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --gpus-per-task=1
#SBATCH --time=04:00:00
# Two minutes before the end of its time a task saves its checkpoints and ends; another one resumes from them.
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
set -euo pipefail
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
# shellcheck disable=SC2086  # ARGS holds several words
exec "${GAN_BENCH:-.venv/bin/gan-bench}" run "${SUITE:-mnist}" --join --no-estimate --executor inline --results "${RESULTS:-results}" ${ARGS:-}

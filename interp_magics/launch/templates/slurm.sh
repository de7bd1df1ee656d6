#!/bin/bash
# A worker group as a Slurm job: `interp template slurm > worker.sh`, then
# `sbatch --export=POOL=/shared/interp/worker,MODEL=NAME=/shared/models/NAME worker.sh`.
# POOL is the file `worker` in the pool's directory, which with its spool must lie on a file system that both hosts see.
#SBATCH --job-name=interp-worker
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue

# Two minutes before its time is over the group takes no more jobs, and ends when what it runs is done.
$interp worker --pool "$$POOL" --model "$$MODEL" --tp "$${SLURM_GPUS:-1}" &
trap 'kill -TERM $$!; wait $$!' TERM
wait $$!

#!/bin/bash
# A worker group as a Slurm job: `interp template slurm > worker.sh`, then
# `sbatch --export=ALL,POOL=/shared/interp/worker,MODEL=NAME=/shared/models/NAME worker.sh`.
# POOL is the file `worker` in the pool's directory, which with its spool must lie on a file system that all hosts see.
# A model that one host does not hold: `sbatch --nodes=2 --export=ALL,POOL=…,MODEL=…,RANKS="--engine vllm --tp 4 --pp 2" worker.sh`.
# MASTER_ADDR, if given, is an address of the first host on the network that the ranks are to use.
#SBATCH --job-name=interp-worker
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue

first="$${MASTER_ADDR:-$$(scontrol show hostnames "$$SLURM_JOB_NODELIST" | head -n 1)}"
ranks="$${RANKS:---tp $$((SLURM_JOB_NUM_NODES * $${SLURM_GPUS_PER_NODE:-1}))}"
export POOL MODEL first ranks

# Two minutes before its time is over the group takes no more jobs, and ends when what it runs is done.
srun --kill-on-bad-exit=0 sh -c 'exec $interp worker --pool "$$POOL" --model "$$MODEL" $$ranks \
    --nnodes "$$SLURM_NNODES" --node-rank "$$SLURM_NODEID" --master-addr "$$first"' &
trap 'kill -TERM $$!; wait $$!' TERM
wait $$!

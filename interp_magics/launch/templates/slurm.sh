#!/bin/bash
# A worker group as a Slurm job: `interp template slurm > worker.sh`, then
# `sbatch --export=ALL,POOL=/shared/interp/worker,MODEL=NAME=/shared/models/NAME worker.sh`.
# POOL is the file `worker` in the pool's directory, which with its spool must lie on a file system that all hosts see.
# A model that one host does not hold: `sbatch --nodes=2 --export=ALL,POOL=…,MODEL=…,RANKS="--engine vllm --tp 4 --pp 2" worker.sh`.
# MASTER_ADDR is an address of the first host on the network that the ranks are to use; without it, the first that it has.
#SBATCH --job-name=interp-worker
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue

gpus="$${SLURM_GPUS_PER_NODE##*:}"
export POOL MODEL
export ranks="$${RANKS:---tp $$((SLURM_JOB_NUM_NODES * $${gpus:-1}))}"
export first="$${MASTER_ADDR:-$$(hostname -I | cut -d " " -f 1)}"

# Two minutes before its time is over Slurm tells each host's worker, and the group ends when what it runs is done. What srun itself is
# told it passes on as an end at once.
exec srun --kill-on-bad-exit=1 --cpus-per-task="$${SLURM_CPUS_PER_TASK:-1}" sh -c '
    exec $interp worker --pool "$$POOL" --model "$$MODEL" $$ranks \
        --nnodes "$$SLURM_NNODES" --node-rank "$$SLURM_NODEID" --master-addr "$$first"'

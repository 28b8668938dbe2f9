#!/bin/bash
# Written by `mevlip deploy slurm`. Answers the questions in one job per shard, then joins the shards:
#
#   id=$(sbatch --parsable predict.sbatch)
#   sbatch --dependency=afterany:"$id" --array=1 --gres=none predict.sbatch merge
#
# A merge names the shards that are missing. A shard that was stopped goes on where it was: sbatch --array=3 predict.sbatch
#SBATCH --job-name=me-vlip
#SBATCH --array=1-@@{shards}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --gres=@@{gres}
#SBATCH --mem=@@{memory}
#SBATCH --time=@@{time}
#SBATCH --signal=TERM@60
#SBATCH --output=me-vlip-%A_%a.log
set -euo pipefail

mkdir -p -- @@{output_folder}
mevlip=(@@{mevlip})
input=@@{input}
output=@@{output}
shards=@@{shards}

if [ "${1:-}" = merge ]; then
  folders=()
  for ((shard = 1; shard <= shards; shard++)); do
    folders+=("$output/shards/$shard-of-$shards")
  done
  exec srun "${mevlip[@]}" predictions merge --input="$input" --out="$output" -- "${folders[@]}"
fi

shard=${SLURM_ARRAY_TASK_ID:?submit this script with sbatch}
exec srun "${mevlip[@]}" predict --shard="$shard/$shards" -- "$input" "$output/shards/$shard-of-$shards"

#!/usr/bin/env bash
# Impute a target in parts: an array job of SLURM, SGE, PBS or LSF, or one part after another.
#
#     TARGET=target.vcf.gz OUT=imputed.vcf.gz WORKSPACE=work bash examples/array_job.sh
#
# Under SLURM, the array job and the join after it are submitted:
#
#     SUBMIT=1 TARGET=target.vcf.gz OUT=imputed.vcf.gz WORKSPACE=work bash examples/array_job.sh
set -euo pipefail

: "${TARGET:?the target, a VCF or BCF}" "${OUT:?the output, such as imputed.vcf.gz}"
WORKSPACE=${WORKSPACE:-work}
PLAN=${PLAN:-$OUT.plan.json}
MEMORY=${MEMORY:-4G}   # of one part
THREADS=${THREADS:-1}  # of one part
OPTIONS=${OPTIONS:-}   # more options of `vcfbert impute`, such as --er2

# shellcheck disable=SC2086  # OPTIONS are several words
[ -e "$PLAN" ] || vcfbert impute plan "$TARGET" --out "$OUT" --plan "$PLAN" \
    --workspace "$WORKSPACE" --memory "$MEMORY" --threads "$THREADS" $OPTIONS
COUNT=$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["parts"]))' "$PLAN")

if [ -n "${SUBMIT:-}" ]; then
    job=$(sbatch --parsable --array="1-$COUNT" --mem="$MEMORY" --cpus-per-task="$THREADS" --wrap \
        "vcfbert impute part --plan '$PLAN' --part \$SLURM_ARRAY_TASK_ID --threads $THREADS")
    sbatch --dependency="afterok:$job" --wrap "vcfbert impute join --plan '$PLAN'"
    exit
fi

for part in $(seq "$COUNT"); do
    vcfbert impute part --plan "$PLAN" --part "$part" --threads "$THREADS"
done
vcfbert impute join --plan "$PLAN"
rm "$PLAN"

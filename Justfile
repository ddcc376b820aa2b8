# Recipes for users and developers; `just` lists them. Needs Python 3.11 or newer.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

venv := justfile_directory() / ".venv"
python := venv / "bin/python"
vcfbert := venv / "bin/vcfbert"
system_python := env("PYTHON", "python3")
chr20_data := justfile_directory() / "../shared/data/chr20"
chr20_peers := justfile_directory() / "../shared/peers/results"

# List the recipes
default:
    @just --list --unsorted

# Install vcfbert and its tools into .venv, unless that is done
setup:
    #!/usr/bin/env bash
    set -euo pipefail
    stamp={{quote(venv / "installed.sha256")}}
    wanted=$({{system_python}} -c 'import hashlib, pathlib, sys
    print(hashlib.sha256(pathlib.Path("pyproject.toml").read_bytes()).hexdigest(), sys.version)')
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi
    {{system_python}} -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vcfbert needs Python 3.11 or newer; set PYTHON to one.")'
    echo "Installing vcfbert into {{venv}} (once; PyTorch is large) ..." >&2
    {{system_python}} -m venv {{quote(venv)}}
    {{quote(python)}} -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
    echo "Compiling vcfbert for this machine (once, about a minute) ..." >&2
    {{quote(vcfbert)}} warm-up --quiet >/dev/null
    printf '%s' "$wanted" >"$stamp"

# Impute a simulated target within a minute, then run the research chain
demo folder="demo-work": setup
    #!/usr/bin/env bash
    set -euo pipefail
    export VCFBERT_WORKSPACE={{quote(folder)}}/work
    panel={{quote(folder)}}/panel
    out={{quote(folder / "imputed.vcf.gz")}}
    say() { printf '\n== %s\n' "$*"; }
    step() { printf '\n$ vcfbert %s\n' "$*"; {{quote(vcfbert)}} "$@"; }
    trap 'say "Stopped after $SECONDS s. Finished files are kept in" {{quote(folder)}}; exit 130' INT

    say "1/3 Impute: simulate a panel and a target, prepare the panel, impute (about a minute)"
    step simulate "$panel" --force
    step prepare "$panel/panel.vcf.gz" --samples "$panel/samples.tsv" --map "$panel/genetic.map" --force
    step impute "$panel/target.vcf.gz" --out "$out" --force
    say "The first imputed records:"
    {{quote(python)}} -c 'import itertools, sys, pysam
    for record in itertools.islice(pysam.VariantFile(sys.argv[1]), 3):
        print(*str(record).split("\t")[:11], "...", sep="\t")' "$out"
    say "Accuracy on the held-out samples, next to two baselines:"
    step eval --typed "$panel/typed.tsv" --force
    say "After $SECONDS s: the imputed file is $out. You can stop here with Ctrl-C."

    say "2/3 Train the network of mosaic on this panel (about 30 s); Ctrl-C stops"
    step train --preset mosaic --typed "$panel/typed.tsv" --set mosaic.steps=500 --force
    step eval --run mosaic --typed "$panel/typed.tsv" --force

    say "3/3 Research chain: train a small BERT that retrieves (about a minute); Ctrl-C stops, train can resume"
    step encode-refs --preset tiny --force
    step build-index --force
    step audit-dims --preset tiny
    step train --preset tiny --set training.max_epochs=1 --set training.batches_per_epoch=60 --force
    step refresh --masks --embeddings --run tiny
    step eval --run tiny --typed "$panel/typed.tsv" --force
    say "The demo took $SECONDS s. Panel: $panel. Imputed file: $out. Stores and runs: $VCFBERT_WORKSPACE."

# Train on real haplotypes (1000 Genomes, part of chr20) for at most 40 minutes of CPU
chr20 folder="chr20-work": setup
    #!/usr/bin/env bash
    set -euo pipefail
    data={{quote(chr20_data)}}
    if [ ! -f "$data/panel.vcf.gz" ]; then
        echo "error: no panel at $data/panel.vcf.gz. This recipe needs the chr20 data next to the repository; 'just demo' needs nothing." >&2
        exit 1
    fi
    export VCFBERT_WORKSPACE={{quote(folder)}}
    step() { printf '\n$ vcfbert %s\n' "$*"; {{quote(vcfbert)}} "$@"; }
    step prepare "$data/panel.vcf.gz" --samples "$data/samples.tsv" \
        --map "$data/genetic_map.plink.map" --min-maf 0.01 --force
    step encode-refs --config configs/chr20-cpu.toml --force
    step build-index --force
    step train --config configs/chr20-cpu.toml --run chr20-cpu --force
    step eval --run chr20-cpu --typed "$data/typed.random50.tsv" --force
    {{quote(python)}} benchmarks/eval_and_peers.py "$VCFBERT_WORKSPACE/runs/chr20-cpu" {{quote(chr20_peers)}} random50

# Run the tests but the slow ones; arguments go to pytest: just test -k r2, just test -m slow
test *args: setup
    env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 {{quote(python)}} -m pytest -n auto --maxprocesses 8 --dist worksteal "$@"

# Install what only some tests need: Dask and Snakemake
setup-extras: setup
    {{quote(python)}} -c 'import distributed, snakemake' 2>/dev/null || {{quote(python)}} -m pip install --quiet --disable-pip-version-check --editable '.[dev,cluster,workflows]'

# Run what CI runs: format, lint, types, tests, documents
check: setup-extras
    {{quote(venv / "bin/ruff")}} format --check
    {{quote(venv / "bin/ruff")}} check
    {{quote(venv / "bin/mypy")}}
    {{quote(just_executable())}} test -m "slow or not slow"

# Run a benchmark: just bench presets; without a name, list them
bench name="" *args: setup
    #!/usr/bin/env bash
    set -euo pipefail
    if [ -z {{quote(name)}} ]; then
        for file in benchmarks/*.py; do
            printf '%-16s%s\n' "$(basename "$file" .py)" "$(head -n 1 "$file" | tr -d '"')"
        done
        exit 0
    fi
    shift
    {{quote(python)}} benchmarks/{{quote(name)}}.py "$@"

# Rebuild the shipped network from simulated panels (15 minutes on 2 cores)
pretrain out="vcfbert/weights/mosaic.safetensors" *args: setup
    #!/usr/bin/env bash
    set -euo pipefail
    shift
    {{quote(python)}} -m research.pretraining {{quote(out)}} "$@"

# Train and score a small system on your own panel: just panel my.vcf.gz --map genetic.map
[no-cd]
[no-exit-message]
panel vcf *args: setup
    {{quote(python)}} {{quote(justfile_directory() / "benchmarks/own_panel.py")}} "$@"

# Train several small systems on your own panel and compare them
[no-cd]
[no-exit-message]
compare-systems vcf *args: setup
    {{quote(python)}} {{quote(justfile_directory() / "benchmarks/own_panel.py")}} --compare "$@"

# Run the GPU tests and measure training and imputation on a GPU; writes benchmarks/results/gpu-*.csv
[no-exit-message]
gpu *args: setup
    {{quote(python)}} benchmarks/gpu.py "$@"

# Compare accuracy, time and memory with Beagle and Minimac4; installs them if it can
peers folder="peers-work" *args: setup
    #!/usr/bin/env bash
    set -euo pipefail
    shift
    {{quote(python)}} benchmarks/peers.py {{quote(folder)}} "$@"

# Regenerate docs/cli.md and docs/stores.md
docs: setup
    {{quote(python)}} docs/generate.py

# Convert a phased reference panel to a panel store
prepare *args: setup
    {{quote(vcfbert)}} prepare "$@"

# Encode the reference haplotypes
encode-refs *args: setup
    {{quote(vcfbert)}} encode-refs "$@"

# Index the reference haplotypes for search
build-index *args: setup
    {{quote(vcfbert)}} build-index "$@"

# Train a model
train *args: setup
    {{quote(vcfbert)}} train "$@"

# Add a new version of masks or embeddings
refresh *args: setup
    {{quote(vcfbert)}} refresh "$@"

# Score a run on held-out samples
eval *args: setup
    {{quote(vcfbert)}} eval "$@"

# Compare runs on the same samples
compare *args: setup
    {{quote(vcfbert)}} compare "$@"

# Impute the samples of a VCF
impute *args: setup
    {{quote(vcfbert)}} impute "$@"

# Impute one part of a plan
impute-part *args: setup
    {{quote(vcfbert)}} impute-part "$@"

# Join the parts of a plan
impute-join *args: setup
    {{quote(vcfbert)}} impute-join "$@"

# List or delete the finished parts of an imputation
parts *args: setup
    {{quote(vcfbert)}} parts "$@"

# Phase the samples of a VCF
phase *args: setup
    {{quote(vcfbert)}} phase "$@"

# Join the samples of imputed batches
merge *args: setup
    {{quote(vcfbert)}} merge "$@"

# Compute what imputation needs of a panel and an array ahead of the first target
profile *args: setup
    {{quote(vcfbert)}} profile "$@"

# Compile for this machine ahead of the first use
warm-up *args: setup
    {{quote(vcfbert)}} warm-up "$@"

# Show shapes, parameters, memory and disk of a system
audit-dims *args: setup
    {{quote(vcfbert)}} audit-dims "$@"

# Check every byte of a workspace
verify *args: setup
    {{quote(vcfbert)}} verify "$@"

# Simulate a phased panel and a target
simulate *args: setup
    {{quote(vcfbert)}} simulate "$@"

# Show installed versions
version *args: setup
    {{quote(vcfbert)}} version "$@"

# Everything a developer or a curious reader runs. `just` lists; needs only Python 3.11 or newer.

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

# Make .venv with vcfbert and its tools in it; does nothing where that is done
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
    printf '%s' "$wanted" >"$stamp"

# Simulated panel, all stages with the preset tiny, then mosaic and impute, with scores
demo folder="demo-work": setup
    #!/usr/bin/env bash
    set -euo pipefail
    export VCFBERT_WORKSPACE={{quote(folder)}}/work
    panel={{quote(folder)}}/panel
    step() { printf '\n$ vcfbert %s\n' "$*"; {{quote(vcfbert)}} "$@"; }
    step simulate "$panel" --force
    step prepare "$panel/panel.vcf.gz" --samples "$panel/samples.tsv" --map "$panel/genetic.map" --force
    step encode-refs --preset tiny --force
    step build-index --force
    step audit-dims --preset tiny
    step train --preset tiny --force
    step refresh --masks --embeddings --run tiny --preset tiny
    step eval --run tiny --typed "$panel/typed.tsv" --force
    step train --preset mosaic --typed "$panel/typed.tsv" --set mosaic.steps=1000 --force
    step eval --run mosaic --typed "$panel/typed.tsv" --force
    step impute "$panel/target.vcf.gz" --out {{quote(folder / "imputed.vcf.gz")}} --force
    printf '\nThe demo took %d s. Its panel is in %s, its stores and the run in %s.\n' \
        "$SECONDS" "$panel" "$VCFBERT_WORKSPACE"

# Real panel (1000 Genomes, part of chr20), trained on the CPU for at most 40 minutes
chr20 folder="chr20-work": setup
    #!/usr/bin/env bash
    set -euo pipefail
    data={{quote(chr20_data)}}
    if [ ! -f "$data/panel.vcf.gz" ]; then
        echo "error: no panel at $data/panel.vcf.gz: this recipe needs the chr20 data folder beside the repository; 'just demo' needs nothing." >&2
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
    {{quote(python)}} benchmarks/beside_peers.py "$VCFBERT_WORKSPACE/runs/chr20-cpu" {{quote(chr20_peers)}} random50

# Tests on all cores; arguments go to pytest: just test -k r2, just test -n 0 --pdb
test *args: setup
    OMP_NUM_THREADS=1 {{quote(python)}} -m pytest -n auto --maxprocesses 8 --dist worksteal "$@"

# All that CI runs: format, lint, types, then layers, tests, doctests, docs
check: setup
    {{quote(venv / "bin/ruff")}} format --check
    {{quote(venv / "bin/ruff")}} check
    {{quote(venv / "bin/mypy")}}
    {{quote(just_executable())}} test

# A benchmark, ratios measured in one run: just bench presets; without a name lists them
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

# Make the network that comes with vcfbert again, from simulated panels: 15 minutes on 2 cores
pretrain out="vcfbert/weights/mosaic.safetensors" *args: setup
    #!/usr/bin/env bash
    set -euo pipefail
    shift
    {{quote(python)}} -m research.pretraining {{quote(out)}} "$@"

# Accuracy, time and memory beside Beagle and Minimac4, which it installs where it can
peers folder="peers-work" *args: setup
    #!/usr/bin/env bash
    set -euo pipefail
    shift
    {{quote(python)}} benchmarks/peers.py {{quote(folder)}} "$@"

# Write the generated pages in docs/ again
docs: setup
    {{quote(python)}} docs/generate.py

# Cut a phased panel into windows and store it
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

# Renew masks or encodings, beside the old versions
refresh *args: setup
    {{quote(vcfbert)}} refresh "$@"

# Score a run on samples it has not seen
eval *args: setup
    {{quote(vcfbert)}} eval "$@"

# Set runs side by side on the same samples
compare *args: setup
    {{quote(vcfbert)}} compare "$@"

# Impute samples of a VCF
impute *args: setup
    {{quote(vcfbert)}} impute "$@"

# Show shapes, parameters, memory and disk of a system
audit-dims *args: setup
    {{quote(vcfbert)}} audit-dims "$@"

# Check everything in a workspace again
verify *args: setup
    {{quote(vcfbert)}} verify "$@"

# Simulate a phased panel
simulate *args: setup
    {{quote(vcfbert)}} simulate "$@"

# Show what is installed; --json for programs
version *args: setup
    {{quote(vcfbert)}} version "$@"

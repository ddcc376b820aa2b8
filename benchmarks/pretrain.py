"""Make the shipped network of mosaic again from simulated panels (about 15 minutes on 2 cores)."""

from __future__ import annotations

import argparse
from pathlib import Path

from vcfbert import digests
from vcfbert.pipelines import pretrain
from vcfbert.progress import Silent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("--panels", type=int, default=pretrain.PretrainOptions().panels)
    parser.add_argument("--processes", type=int, default=2, help="panels at a time")
    args = parser.parse_args()
    options = pretrain.PretrainOptions(panels=args.panels, processes=args.processes)
    print("\n".join(pretrain.pretrain(args.out, options, progress=Silent()).lines()))
    print(f'For mosaic_weights.py: SHIPPED_SHA256 = "{digests.of_file(args.out)}"')


if __name__ == "__main__":
    main()

"""Make the shipped network of mosaic from simulated panels (about 15 minutes on 2 cores)."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from research.pretraining import recipe
from vcfbert.files import digests
from vcfbert.progress import Silent


def main() -> None:
    """Parse the command line, make the network and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("--panels", type=int, default=recipe.PretrainOptions().panels)
    parser.add_argument("--processes", type=int, default=2, help="panels at a time")
    parser.add_argument("--scale", type=float, default=1.0, help="below 1, smaller panels")
    parser.add_argument("--steps", type=int, default=recipe.PretrainOptions().network.steps)
    args = parser.parse_args()
    usual = recipe.PretrainOptions()
    options = replace(
        usual,
        panels=args.panels,
        processes=args.processes,
        scale=args.scale,
        network=replace(usual.network, steps=args.steps),
    )
    print("\n".join(recipe.pretrain(args.out, options, progress=Silent()).lines()))
    print(f'For weight_files.py: SHIPPED_SHA256 = "{digests.of_file(args.out)}"')


if __name__ == "__main__":
    main()

"""The making of the shipped network of mosaic.

    just pretrain                                         125 panels, about 15 minutes on 2 cores
    python -m research.pretraining out.safetensors --panels 12 --scale 0.1 --steps 200     a trial

`recipe` is the whole procedure: `varied_panels` simulates panels from the histories of
`demographies`, with the landscapes and maps of `recombination` and the errors of
`genotyping_errors`; samples of each panel are imputed from the others, and one network is trained
on the undecided sites of all panels.
"""

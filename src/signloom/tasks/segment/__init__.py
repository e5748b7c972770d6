"""Finding where signs begin and end in continuous footage, as it comes.

``footage`` puts clips of single signs together, ``idle`` moves hands that say nothing, ``data`` makes batches of both;
``decode`` makes stretches of what the network says of each frame; ``predict`` finds them, frame by frame; ``evaluate``
measures, ``export`` writes ONNX, and ``task`` joins all for the one trainer.
"""

"""Painting a signer from poses: everything that is this task's own.

``recipes`` say what is trained and how; ``data`` makes batches of a signer's frames; ``losses`` says what is asked of a
painted picture; ``task`` joins them for the one trainer; ``predict`` paints, frame by frame; ``evaluate`` measures
beside baselines; ``export`` writes a file for other runtimes.
"""

"""Swapping faces: what a face does stays, whose it is changes. Everything that is this task's own.

``recipes`` say what is trained and how; ``data`` makes batches of several people's faces, and of nobody's; ``task``
joins them for the one trainer; ``predict`` swaps, in a folder's clips or frame by frame; ``evaluate`` measures on
held-out faces; ``export`` writes a file for other runtimes.
"""

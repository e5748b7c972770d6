"""MediaPipe's Holistic networks, run here: their files, what they look at, and what follows from what they say.

``networks`` finds, checks and runs the files; ``regions`` says where to look and ``crop`` what is seen there;
``detector`` and ``smoothing`` are what stands around the networks; ``graph`` puts it together.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors are slower on more

import torch

torch.set_num_threads(1)

"""Run by the training environment: keeps what TRL gives the model to sample from, at the first generation of a run.

Arguments: the run's config, and the safetensors file to write.
"""

import sys
from pathlib import Path

from mevlip.core.offline import go_offline

go_offline()

from peft import PeftModelForCausalLM  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from mevlip_training.grpo.trainer import train  # noqa: E402


class Seen(Exception):
    """Ends the run."""


def keep(_model: PeftModelForCausalLM, **inputs: object) -> None:
    names = ("input_ids", "attention_mask", "pixel_values")
    save_file({name: inputs[name].contiguous() for name in names}, sys.argv[2])
    raise Seen


PeftModelForCausalLM.generate = keep
try:
    train(Path(sys.argv[1]))
except Seen:
    sys.exit(0)
sys.exit("nothing was sampled")

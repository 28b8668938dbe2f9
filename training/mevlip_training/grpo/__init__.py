"""Group-relative policy optimization (GRPO): rewards, and what orders, watches and logs a run."""

"""Group-relative policy optimization (GRPO): rewards, and what watches, orders and logs a run that is trained by them."""

"""Pictures changed against the model that answers about them, by the gradient of its own loss.

`gradient` changes pixels, `questions` says what of, `running` asks the model, `output` shows what came of it.
"""

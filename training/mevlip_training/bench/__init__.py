"""`mevlip bench`: how many questions per second the predictor answers, and other loops over the same model."""

"""How much systems lose on perturbed pictures.

`sampling.draw_sample` chooses the questions, `asking.ask_perturbed` has the systems answer them, `drops.measure_drops`
says what they lose. It needs the extra `robust`.
"""

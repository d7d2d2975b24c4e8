"""Right and wrong answers to every exercise: the proof that its check is right. `tests/test_exercises.py` runs them.

One module for each exercise, `eN_M_name.py`. In it

  * `right_…` functions are answers that the check must accept, written in different ways;
  * `wrong_…` functions are what people really write. The name is the diagnosis that the check must give, with underscores
    for hyphens: `wrong_counts_from_sending` must get "counts-from-sending". What follows two underscores only tells answers
    with the same diagnosis apart: `wrong_drifts__by_the_handler`.
"""

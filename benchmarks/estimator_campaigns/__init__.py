"""One module for each estimator: the rows that `benchmarks/estimators.py` measures."""

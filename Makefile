# Shorthands; the README's lines do the same without make.
PYTHON ?= python3
.PHONY: demo test check clean

.venv/bin/cavitylab: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q -e ".[test]"
	@touch $@

demo: .venv/bin/cavitylab
	.venv/bin/cavitylab demo

test: .venv/bin/cavitylab
	.venv/bin/python -m pytest -q -n auto -m "not slow"

check:
	bash .ci/run

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

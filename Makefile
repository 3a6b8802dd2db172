# Two commands: `make app` opens the page, `make test` runs every test. A second run of either installs nothing.
PYTHON ?= python3

.PHONY: app test lint clean

app: .venv/ready
	.venv/bin/python app/main.py

test: .venv-test/ready
	.venv-test/bin/python -m pytest -n auto --dist loadgroup

lint: .venv-test/ready
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -r requirements.txt
	touch $@

.venv-test/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python -m pip install -r requirements.txt ".[test]"
	touch $@

clean:
	rm -rf .venv .venv-test

# `make` alone lists what a contributor does; each command works by itself, too.
.DEFAULT_GOAL := help
.PHONY: help install test complete lint format types layers check dist schema support docs

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## install the package, its tests and its lint into the active environment
	pip install -e ".[test,lint]"

test:  ## run the tests
	pytest -n 4 --dist loadgroup

complete:  ## run what takes long: every cell, every kill, ten thousand broken inputs
	pytest -n 4 --dist loadgroup --complete -m complete

lint:  ## look for mistakes and for formatting that differs
	ruff check .
	ruff format --check .

format:  ## format the code and mend what can be mended
	ruff check --fix .
	ruff format .

types:  ## check the types
	mypy

layers:  ## check that each room imports only rooms below it
	lint-imports

check: lint layers types test  ## run all that a change must pass

dist:  ## build wheel and source distribution
	python -m build

schema:  ## write down the fields of the services' messages anew, for a newer SDK
	python -m cloudtune_sagemaker.schema_update
	python -m cloudtune_vertex.schema_update

support:  ## write the documentation's table of support anew
	python -m cloudtune.provider.matrix

docs:  ## build the documentation into build/site
	mkdocs build --strict

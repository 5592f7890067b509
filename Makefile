# Two doors: `make lab` for the operator, `make test` for the developer. Both set up what they need.
.PHONY: lab down test check setup lock docs wheel
.DEFAULT_GOAL := help
ARGS ?=

help:
	@echo "make lab    set up, bring up the four machines, open the console (ARGS=--no-console: do not open it)"
	@echo "make down   take the lab down"
	@echo "make test   set up, all checks and all tests (the lab's part needs root on Debian 12 or 13)"
	@echo "make check  formatting, lint, types, import layers, generated docs: the quick part of make test"

lab:
	@tools/setup.sh
	@.venv/bin/labtui lab up $(ARGS)

down:
	@.venv/bin/labtui lab down

test:
	@tools/setup.sh dev
	@tools/test.sh $(ARGS)

check:
	@tools/setup.sh dev
	@tools/check.sh

lock:
	@tools/lock.sh

docs:
	@.venv/bin/python tools/gendocs.py

wheel:
	@tools/setup.sh dev
	@.venv/bin/python -m build --wheel --no-isolation

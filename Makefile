# `make` alone lists what there is.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test check contract bench soak docs deb clean debian-packages footage

VENV := .venv
PYTHON_SOURCES := pyproject.toml scripts/venv.sh edgecam/__init__.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The oldest supported set is what Debian 13 ships; the newest is what .venv has.
CONTRACT_1.11 := 'aiortc==1.11.*' 'av==14.2.*' 'aioice==0.10.1' 'aiohttp==3.11.*' 'pydantic==2.10.*' \
	'pydantic-settings==2.8.*' 'structlog==25.1.*' sdnotify
CONTRACT_1.15 := 'aiortc==1.15.*' aiohttp pydantic-settings structlog sdnotify

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## edgecam demo: moving video in your browser (ARGS="--source /dev/video0")
	@$(VENV)/bin/edgecam demo $(ARGS)

test: debian-packages $(VENV)/.installed-test footage check contract-1.11 contract-1.15 ## everything, as CI does
	@echo "== tests"
	@$(VENV)/bin/python -m pytest $(ARGS)

check: $(VENV)/.installed-test ## linters, types, and which way imports go
	@echo "== ruff"; $(VENV)/bin/ruff check .
	@echo "== mypy"; $(VENV)/bin/mypy
	@echo "== import contracts"; $(VENV)/bin/lint-imports

contract: contract-1.11 contract-1.15 $(VENV)/.installed-test ## what we rely on in aiortc, on each version of it
	@echo "== contract tests, newest aiortc"; $(VENV)/bin/python -m pytest -q tests/contract tests/settings

contract-%: .cache/contract-%/.installed
	@echo "== contract tests, aiortc $*"
	@.cache/contract-$*/bin/python -m pytest -q -p no:cacheprovider tests/contract tests/settings

.PRECIOUS: .cache/contract-%/.installed
.cache/contract-%/.installed: Makefile scripts/venv.sh
	@scripts/venv.sh $(@D) $(CONTRACT_$*) 'pytest>=8.3' 'pytest-timeout>=2.3'
	@touch $@

bench: $(VENV)/.installed-test ## measure this machine: encoder, packets, viewers
	@$(VENV)/bin/python -m tests.bench $(ARGS)

soak: debian-packages $(VENV)/.installed-test footage ## hours of viewers that come and go (ARGS="--minutes 60")
	@$(VENV)/bin/python -m tests.soak $(ARGS)

docs: $(VENV)/.installed ## write docs/configuration.md anew from the models
	@$(VENV)/bin/python -m edgecam.config.reference > docs/configuration.md

deb: ## build the Debian package into the directory above
	@scripts/debian.sh "building the package" build-essential debhelper dh-python pybuild-plugin-pyproject \
		python3-all python3-setuptools
	dpkg-buildpackage -us -uc -b

clean: ## remove what was made here
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.installed: $(PYTHON_SOURCES)
	@scripts/venv.sh $(VENV) --editable .
	@touch $@

$(VENV)/.installed-test: $(PYTHON_SOURCES)
	@scripts/venv.sh $(VENV) --editable '.[test]'
	@touch $(VENV)/.installed $@

# gcc and the headers: the fake V4L2 device. iproute2, nftables, procps, ping: NATs in network namespaces.
# coturn: a TURN server. chromium with a font: viewers. systemd, dpkg-dev: the units and the package.
debian-packages:
	@scripts/debian.sh "the tests" chromium fonts-dejavu-core coturn gcc libc6-dev linux-libc-dev \
		iproute2 nftables procps iputils-ping systemd dpkg-dev

FETCH_FOOTAGE := $(VENV)/bin/python -c 'from tests.harness.footage import surveillance_footage as fetch; fetch()'

footage: .cache/footage/vtest.avi

# A real surveillance recording, out of Debian's opencv-doc.
.cache/footage/vtest.avi: | $(VENV)/.installed-test
	@echo "fetching camera footage"
	@$(FETCH_FOOTAGE) || { scripts/debian.sh --update && $(FETCH_FOOTAGE); }

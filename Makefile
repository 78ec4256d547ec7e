# `make` alone lists what there is.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test check contract bench load soak docs deb deb-arm64 clean debian-packages references footage machines

VENV := .venv
# AGAIN=yes, as CI has it: what fails is tried again by itself.
TESTS := $(if $(AGAIN),tests.again,tests.everything)
PYTEST := $(if $(AGAIN),tests.again --plain,pytest)
PYTHON_SOURCES := pyproject.toml scripts/venv.sh edgecam/__init__.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The oldest supported set is what Debian 13 ships; the newest is what .venv has.
CONTRACT_1.11 := 'aiortc==1.11.*' 'av==14.2.*' 'aioice==0.10.1' 'aiohttp==3.11.*' 'pydantic==2.10.*' \
	'pydantic-settings==2.8.*' 'structlog==25.1.*' sdnotify
CONTRACT_1.15 := 'aiortc==1.15.*' aiohttp pydantic-settings structlog sdnotify

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## edgecam demo: moving video in your browser (ARGS="--source /dev/video0")
	@$(VENV)/bin/edgecam demo $(ARGS)

# The machines are unpacked, which one processor does, while another looks at types.
test: debian-packages $(VENV)/.installed-test footage ## everything, as CI does
	@$(MACHINES) & machines=$$!; \
	$(MAKE) --no-print-directory check contract-1.11 contract-1.15; checked=$$?; \
	wait $$machines && exit $$checked
	@$(VENV)/bin/python -m $(TESTS) $(ARGS)

check: $(VENV)/.installed-test ## linters, types, and which way imports go
	@echo "== ruff"; $(VENV)/bin/ruff check .
	@echo "== mypy"; $(VENV)/bin/mypy
	@echo "== import contracts"; $(VENV)/bin/lint-imports

contract: contract-1.11 contract-1.15 $(VENV)/.installed-test ## what we rely on in aiortc, on each version of it
	@echo "== contract tests, newest aiortc"; $(VENV)/bin/python -m pytest -q tests/contract tests/settings

contract-%: .cache/contract-%/.installed
	@echo "== contract tests, aiortc $*"
	@.cache/contract-$*/bin/python -m $(PYTEST) -q tests/contract tests/settings

.PRECIOUS: .cache/contract-%/.installed
.cache/contract-%/.installed: Makefile scripts/venv.sh
	@scripts/venv.sh $(@D) $(CONTRACT_$*) 'jsonschema>=4.19' 'pytest>=8.3' 'pytest-timeout>=2.3'
	@touch $@

bench: debian-packages references $(VENV)/.installed-test footage machines ## edgecam beside aiortc, Janus, GStreamer (ARGS=--write-docs)
	@$(VENV)/bin/python -m tests.bench $(ARGS)

load: debian-packages $(VENV)/.installed-test ## 5,000 cameras and 500 joins a second on the signaling server (ARGS=--write-docs)
	@$(VENV)/bin/python -m tests.load $(ARGS)

soak: debian-packages $(VENV)/.installed-test footage ## hours of viewers that come and go (ARGS="--minutes 60")
	@$(VENV)/bin/python -m tests.soak $(ARGS)

docs: $(VENV)/.installed ## write docs/configuration.md, the table of docs/reload.md and the JSON Schema anew from the models
	@$(VENV)/bin/python -m edgecam.config.reference > docs/configuration.md
	@page=$$($(VENV)/bin/python -m edgecam.config.reload < docs/reload.md) && printf '%s\n' "$$page" > docs/reload.md
	@$(VENV)/bin/python -m edgecam check-config --schema > config/edgecam.schema.json

# Debian 12 has not all that the packages are built with, so they are built in an unpacked Debian 13, here and everywhere.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
MACHINE_TOOLS := mmdebstrap debian-archive-keyring python3 util-linux iproute2

deb: ## build the Debian packages into dist/
	@scripts/debian.sh "building the packages" $(MACHINE_TOOLS)
	@mkdir -p dist
	@made=$$($(AS_ROOT) python3 -B -m tests.machines.package) && cp "$$made"/*.deb dist/ && ls dist/*.deb

deb-arm64: deb ## install and run the packages on arm64, emulated: half an hour
	@scripts/debian.sh "emulating arm64" qemu-user-static arch-test
	@$(AS_ROOT) python3 -B -m tests.machines.arm64

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
# coturn: a TURN server. nginx, caddy, openssl: the ready-made set-ups. redis-server, haproxy: several signaling servers as
# one. mosquitto, prometheus, avahi: who hears of a fleet. chromium with a font, GStreamer, Node (for werift and others):
# viewers. systemd, dpkg-dev: the units and the package.
# mmdebstrap, systemd-container, qemu: a Debian 13 that the packages are installed in, and that boots, with its own kernel too.
# Node from elsewhere brings its own npm, which Debian's package does not go with.
NODE = $(if $(shell command -v npm),,nodejs npm)
debian-packages:
	@scripts/debian.sh "the tests" chromium fonts-dejavu-core coturn gcc libc6-dev linux-libc-dev libx264-dev \
		iproute2 nftables procps iputils-ping systemd systemd-container mmdebstrap \
		qemu-system-x86 e2fsprogs util-linux dpkg-dev $(NODE) redis-server haproxy \
		nginx-light caddy openssl janus \
		mosquitto prometheus avahi-daemon avahi-utils dbus \
		gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice \
		gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 python3-gi \
		gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly

# Whom the benchmark compares with. It goes on without one that is not to be had, and says so in its table.
references:
	-@scripts/debian.sh "the benchmark" gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
		gstreamer1.0-nice gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 python3-gi
	-@scripts/debian.sh "the benchmark" janus

FETCH_FOOTAGE := $(VENV)/bin/python -c 'from tests.harness.footage import surveillance_footage as fetch; fetch()'

footage: .cache/footage/vtest.avi

# A real surveillance recording, out of Debian's opencv-doc.
.cache/footage/vtest.avi: | $(VENV)/.installed-test
	@echo "fetching camera footage"
	@$(FETCH_FOOTAGE) || { scripts/debian.sh --update && $(FETCH_FOOTAGE); }

# A Debian 13 with the packages of this working tree installed, for containers and virtual machines: minutes the first time.
MACHINES = $(VENV)/bin/python -m tests.machines
machines: | debian-packages $(VENV)/.installed-test
	@$(MACHINES)

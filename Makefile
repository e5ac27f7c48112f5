# Commands, tests and packaging. `make` alone lists the targets.
#
# A command is called by its name or by its original spelling:
#
#   make reconcile-balances        make reconcile:balances
#
# Its flags come from variables, of which each is one argument whatever it holds (NAME='Bob; $5' needs no
# further quoting), or from ARGS, which is split into words by quotes and backslashes; neither is ever run.
#
#   make org-create NAME='Acme Mining' SUBDOMAIN=acme
#   make org-create ARGS='--name "Acme Mining" --subdomain acme'
#   make users-assign ORG_ID=acme ALL=1 DRY_RUN=1
#   make org-create NAME=Acme API_KEY=- <key.txt
#
# Without a configured database a command works on the local demo cluster, and says so. make turns every failed
# command's status into 2: schedules call the binaries.

# Every crate with a binary is a command.
COMMANDS := $(patsubst crates/%/src/main.rs,%,$(wildcard crates/*/src/main.rs))

PREFIX ?= /usr/local
CARGO ?= cargo
# The Cargo profile of the command targets and of `make demo`.
PROFILE ?= dev

# rustup puts cargo where a shell without a login profile doesn't look.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
export CARGO PROFILE

# --- variables given on the command line ---------------------------------------------------------------------

ours := ARGS CARGO COMMANDS DESTDIR KEYS KILLS PREFIX PROFILE ROWS RUNS SUBJECTS VERSIONS
environment := BACKUP_DIR DATABASE_URL DEFAULT_ORG_ID NO_COLOR PAGERDUTY_KEY SLACK_WEBHOOK_URL ALERT_EMAIL \
	HEALTHCHECK_URL PG% RUST_LOG SMTP_FROM SMTP_URL STOCKFOIL_%
given := $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $v)),$v))

# As text, never expanded: make would run what stands in a $(shell ...). The value that make itself would export
# is expanded, so it is not exported; nor is the list of all of them, which would show an API_KEY.
MAKEOVERRIDES :=
$(foreach v,$(filter $(environment),$(given)),$(eval override export $v := $$(value $v)))
export STOCKFOIL_MAKE_FLAGS := $(filter-out $(ours) $(environment),$(given))
$(foreach v,$(STOCKFOIL_MAKE_FLAGS),$(eval unexport $v)$(eval export STOCKFOIL_MAKE_$v := $$(value $v)))
unexport ARGS
export STOCKFOIL_MAKE_ARGS := $(value ARGS)

# --- targets -------------------------------------------------------------------------------------------------

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop test test-matrix bench chaos build install image fmt lint clean

help: ## this list
	@echo 'usage: make TARGET [NAME=value...] [ARGS="--flag value..."]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 24
	@echo
	@echo 'Commands, each also with a colon (make reconcile:balances):'
	@printf '  %s\n' $(COMMANDS)

demo: ## set up, break, reconcile and back up a sample inventory on a local cluster that stays
	@exec scripts/demo

demo-stop: ## stop the demo cluster and remove it
	@exec scripts/demo --stop

test: ## format, lints, documentation, and every test
	@exec scripts/test

test-matrix: ## the end-to-end tests on each server version: VERSIONS="15 16 17 18"
	@exec scripts/test --matrix

bench: ## how fast, against the bare SQL: ROWS=1000000 KEYS=50000 RUNS=3
	@exec scripts/bench

chaos: ## kill migrations again and again among writers, there and back: KILLS=50 ROWS=100000
	@exec scripts/chaos

build: ## the release binaries
	$(CARGO) build --release --workspace --bins

install: build ## the release binaries to $(DESTDIR)$(PREFIX)/bin
	install -d "$(DESTDIR)$(PREFIX)/bin"
	cd "$${CARGO_TARGET_DIR:-target}/release" && install -m 755 $(COMMANDS) "$(DESTDIR)$(PREFIX)/bin"

image: ## the container image, built and tried with docker, podman or buildah
	@exec scripts/image

fmt: ## format the code
	$(CARGO) fmt --all

lint: ## format and lints, without tests
	@exec scripts/test --lint

clean: ## remove what was built; stops the demo cluster
	@scripts/demo --stop
	$(CARGO) clean

define command
.PHONY: $(1) $(subst -,\:,$(1))
$(1) $(subst -,\:,$(1)):
	@exec scripts/run-command $(1)
endef
$(foreach c,$(COMMANDS),$(eval $(call command,$c)))

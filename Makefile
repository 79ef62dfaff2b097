# Everything that is done to this repository, one target each: `make help`.

SHELL        := bash
.SHELLFLAGS  := -euo pipefail -c
.DEFAULT_GOAL := all

GO       ?= go
BIN      ?= bin/tocsin
DATA     ?= ./data/demo
LISTEN   ?= 127.0.0.1:8480
FUZZTIME ?= 30s
PKGS     ?= ./...
TOOL     := $(GO) tool -modfile=tools/go.mod

.PHONY: all
all: fmt lint test build ## fmt, lint, test and build

.PHONY: help
help: ## print this list
	@awk -F ':.*?## ' '/^[a-z][a-z-]*:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/tocsin
	$(GO) build -trimpath -o $(BIN) ./cmd/tocsin

.PHONY: run
run: build ## build, load a simulated country into DATA, serve it on LISTEN
	$(BIN) demo --data $(DATA) --listen $(LISTEN)

.PHONY: test
test: ## run every test
	$(GO) test -timeout 20m $(PKGS)

.PHONY: test-short
test-short: ## the quick tests: loopback only, no large inputs
	$(GO) test -short -timeout 10m $(PKGS)

.PHONY: test-race
test-race: ## the quick tests in random order under the race detector
	$(GO) test -race -short -shuffle=on -timeout 20m $(PKGS)

.PHONY: test-hostile
test-hostile: ## hostile inputs and faults at full size (minutes)
	TOCSIN_HOSTILE=full tools/hostile.sh

.PHONY: fuzz
fuzz: ## give each fuzz target FUZZTIME (30s)
	FUZZTIME=$(FUZZTIME) tools/fuzz.sh $(PKGS)

.PHONY: bench
bench: ## measure the road; prints BENCH lines
	$(GO) run ./internal/bench

.PHONY: calibrate
calibrate: ## judge the estimators in worlds whose truth is known; prints CALIBRATE lines
	$(GO) run ./internal/calibrate

.PHONY: lint
lint: ## golangci-lint; depguard holds the arrows between packages, and is shown to bite
	$(TOOL) golangci-lint run
	tools/arrows.sh

.PHONY: fmt
fmt: ## gofumpt and goimports
	$(TOOL) golangci-lint fmt

.PHONY: generate docs
docs: generate ## the same as generate
generate: ## write the pages of docs/ that come from tables in the code
	$(GO) run ./internal/docs

.PHONY: refdata
refdata: ## fetch reference data (npm) and write the embedded tables
	$(GO) run ./internal/refdata/make

.PHONY: vuln
vuln: ## known vulnerabilities in what the binary calls (needs the Go vulnerability database)
	$(TOOL) govulncheck ./...

.PHONY: licenses
licenses: ## modules in the binary with their licences; fails if docs/dependencies.md lacks one
	tools/licenses.sh

.PHONY: clean-checkout
clean-checkout: ## clone HEAD into a temporary folder and build it there
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	git clone --quiet --no-hardlinks . "$$dir/tocsin"; \
	$(MAKE) --no-print-directory -C "$$dir/tocsin" build; \
	"$$dir/tocsin/bin/tocsin" version; \
	[ -z "$$(git -C "$$dir/tocsin" status --porcelain)" ] || { echo "the build leaves files in the tree:"; git -C "$$dir/tocsin" status --short; exit 1; }

.PHONY: ci
ci: ## what runs before a change is taken
	.ci/run

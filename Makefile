# `make demo` and `make test` need Go and nothing else: PostgreSQL's programs are found, or installed.
# Flags for the demo: make demo ARGS="--listen 127.0.0.1:8080 --products 2000"

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
ARGS ?=
# The linter, built from source into bin/tools; .golangci.yml is written for this version.
GOLANGCI_LINT = v2.15.0
LINTER = bin/tools/golangci-lint

.PHONY: demo test race build generate lint fmt format check mutants tools postgres

# The whole of Sluice on this machine: private database, API, workers, six channels on fake targets. Ctrl-C ends it.
# Built first and then executed, which is what go run does but for the exit status of a Ctrl-C.
demo: postgres-or-url build
	@exec bin/sluice demo $(ARGS)

# Every test, each test binary with a private database server of its own. Tests wait for timers and the database much more
# than they compute, so more of them run at once than there are processors.
AT_ONCE ?= 8
test: postgres
	go test -parallel $(AT_ONCE) -timeout 20m ./...

race: postgres
	go test -race -shuffle=on -parallel $(AT_ONCE) -timeout 25m ./...

build:
	go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/sluice ./cmd/sluice

# Everything that is written by a program and kept in the repository.
generate:
	go generate ./...

# Tests beside real systems (the tag real) run by hand alone: here they are compiled at least.
lint: tools
	$(LINTER) run
	go vet -tags real ./cmd/sluice ./connectors/medusa ./connectors/tryton ./connectors/translation/apertium

# Formatting is checked by fmt, and done by format: gofumpt, and imports in three groups.
fmt: tools
	@$(LINTER) fmt --diff

format: tools
	$(LINTER) fmt

# What a change must pass on its author's machine; .ci/run does the same, and more, from nothing.
check: fmt lint race
	$(MAKE) generate
	git diff --exit-code

tools:
	@go version -m $(LINTER) 2>/dev/null | grep -q 'golangci-lint/v2.$(GOLANGCI_LINT)' || \
		GOBIN="$(CURDIR)/bin/tools" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)

# Takes the code that protects each invariant out and fails when that invariant's test still passes.
mutants: postgres
	sh testdata/mutants/run.sh

# Breaks everything that can break for a while, and checks that nothing is lost: make chaos MINUTES=60, SEED=… to repeat a
# schedule, ARGS for `sluice chaos --help`'s other flags.
MINUTES ?= 60
SEED ?= 0
.PHONY: chaos
chaos: postgres build
	@exec bin/sluice chaos --minutes $(MINUTES) --seed $(SEED) $(ARGS)

postgres:
	@sh deploy/ensure-postgres.sh

# A server that the user has makes local programs unnecessary.
.PHONY: postgres-or-url
postgres-or-url:
	@test -n "$$DATABASE_URL" || sh deploy/ensure-postgres.sh

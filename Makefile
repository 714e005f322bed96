# `make demo` and `make test` need Go and nothing else: PostgreSQL's programs are found, or installed.
# Flags for the demo: make demo ARGS="--listen 127.0.0.1:8080 --products 2000"

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
ARGS ?=

.PHONY: demo test race build generate lint fmt check mutants postgres

# The whole of Sluice on this machine: private database, API, workers, five channels on fake targets. Ctrl-C ends it.
# Make passes the Ctrl-C on as the terminal does, to the whole group; exec leaves no shell in between.
demo: postgres-or-url
	@exec go run ./cmd/sluice demo $(ARGS)

# Every test, each test binary with a private database server of its own.
test: postgres
	go test ./...

race: postgres
	go test -race -shuffle=on ./...

build:
	go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/sluice ./cmd/sluice

# Everything that is written by a program and kept in the repository.
generate:
	go generate ./...

lint:
	golangci-lint run

# What a change must pass: formatting, vet, linter, generated files up to date, tests.
check: fmt lint race
	go vet ./...
	$(MAKE) generate
	git diff --exit-code

fmt:
	@test -z "$$(gofmt -l . | tee /dev/stderr)"

# Takes the code that protects each invariant out and fails when that invariant's test still passes.
mutants: postgres
	sh testdata/mutants/run.sh

postgres:
	@sh deploy/ensure-postgres.sh

# A server that the user has makes local programs unnecessary.
.PHONY: postgres-or-url
postgres-or-url:
	@test -n "$$DATABASE_URL" || sh deploy/ensure-postgres.sh

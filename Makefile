# Everything for working on hotshelf. `make help` lists the targets.
#
# The two commands of the README need no make: go run ./cmd/server, go test ./...

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0

# Tools are built once, outside of the checkout, per Go version: a linter built
# by an older Go can't read a newer language.
CACHE         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hotshelf-tools
TOOLS          = $(CACHE)/golangci-lint-$(GOLANGCI_LINT_VERSION)-$(shell go env GOVERSION)
GOLANGCI_LINT  = $(TOOLS)/golangci-lint

# How long each fuzz target runs.
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help dist validate run test race soak fuzz bench figures vet lint fmt tools vuln ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: ## start the server, with a private PostgreSQL and a sample catalogue at first
	go run ./cmd/server

test: ## the tests, the same as in the README
	go test ./...

race: ## the tests but for the heavier ones, under the race detector
	CGO_ENABLED=1 go test -race -short ./...

soak: ## the long tests: files tagged soak, functions named TestSoak…
	go test -tags soak -run Soak -timeout 20m ./...

fuzz: ## every fuzz target for FUZZTIME (10s)
	@set -e; listed=$$(go test -list '^Fuzz' -json ./...); printf '%s\n' "$$listed" | \
	sed -n 's/.*"Package":"\([^"]*\)","Output":"\(Fuzz[^\\"]*\)\\n".*/\1 \2/p' | \
	while read -r package target; do \
		echo "--- $$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
	done

bench: ## the Go benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem ./...

figures: ## the figures of bench/RESULTS.md but for load and warm, on a quiet machine (half an hour)
	@set -e; for suite in hit miss ramp box scale; do go run ./cmd/bench $$suite --data .hotshelf-bench; done
	go run ./cmd/bench write
	go run ./cmd/bench coherence
	go run ./cmd/bench publish

vet: ## go vet, of the long tests and of the other system as well
	go vet ./...
	go vet -tags soak ./...
	GOOS=darwin go vet ./...

lint: tools ## golangci-lint as .golangci.yml says
	$(GOLANGCI_LINT) run ./...

fmt: tools ## format all Go files
	$(GOLANGCI_LINT) fmt ./...

tools: ## build golangci-lint into the cache (two to three minutes, once)
	@test -x "$(GOLANGCI_LINT)" || { \
		echo "building golangci-lint $(GOLANGCI_LINT_VERSION)"; \
		env -u GOOS -u GOARCH GOBIN="$(TOOLS)" \
			go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION); \
	}

# Not part of ci: the database of vulnerabilities is fetched from the internet
# on every run, and not every machine that tests this can reach it.
vuln: ## known vulnerabilities in what we call (needs the internet)
	go run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) ./...

dist: ## the programs for terraform/: one archive in dist/, and its SHA-256
	@rm -rf dist && mkdir -p dist/bin
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -ldflags='-s -w' -o dist/bin/ ./cmd/load ./cmd/sample ./cmd/server ./cmd/warm
	tar -C dist -czf dist/hotshelf-linux-amd64.tar.gz bin
	@cd dist && { sha256sum hotshelf-linux-amd64.tar.gz 2>/dev/null || shasum -a 256 hotshelf-linux-amd64.tar.gz; }

# Not part of ci either: the providers are downloaded.
validate: ## terraform validate (needs terraform and the internet)
	terraform -chdir=terraform init -backend=false -input=false
	terraform -chdir=terraform validate

ci: ## all that a change has to pass; see .ci/run
	.ci/run

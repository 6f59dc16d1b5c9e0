# `make help` lists the targets. Tools are pinned in tools/go.mod and built on first use.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

tool := go tool -modfile=tools/go.mod
# bench is a module of its own.
benchtool := go -C bench tool -modfile=../tools/go.mod

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start tminus with the examples (the main job)
	go run ./cmd/tminus serve --apply examples/

.PHONY: build
build: ## Build bin/tminus, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/tminus ./cmd/tminus

.PHONY: test
test: tools-for-tests ## Run every test, with the race detector on
	go test -race ./...
	go -C bench test ./...

# The wire is compared with Flyte's own definitions, which come from npm; the
# store is tested on PostgreSQL, directly and through PgBouncer; and from PyPI
# come moto, which stands for AWS, and flytekit, which is a client.
.PHONY: tools-for-tests
tools-for-tests:
	@command -v npm >/dev/null || ./scripts/install-npm
	@PATH="$$PATH:/usr/sbin:$$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')"; \
	{ command -v initdb && command -v pgbouncer; } >/dev/null || ./scripts/install-postgres
	@./scripts/install-moto >/dev/null
	@./scripts/install-flytekit >/dev/null

.PHONY: lint
lint: ## Check layers, style and formatting of Go, proto and Terraform files
	$(tool) golangci-lint run
	$(benchtool) golangci-lint run
	GOARCH=386 go vet ./cron
	$(tool) buf lint
	$(tool) buf format --diff --exit-code
	./scripts/check-terraform

.PHONY: format
format: ## Format Go and proto files
	$(tool) golangci-lint fmt
	$(benchtool) golangci-lint fmt
	$(tool) buf format -w

.PHONY: generate
generate: ## Write gen/ and docs/manifest.schema.json anew
	$(tool) buf generate
	go generate ./...

.PHONY: generate-check
generate-check: ## Fail if generated files are not current
	@t=$$(mktemp -d); trap 'rm -rf "$$t"' EXIT; $(tool) buf generate -o "$$t" && diff -r "$$t/gen" gen
	@go generate ./... && git diff --exit-code -- docs

.PHONY: bench
bench: ## Measure bursts, steady load, idling, changes and outages on SQLite and PostgreSQL (some 40 minutes)
	go run ./internal/engine/enginebench $(BENCH)

.PHONY: bench-aws
bench-aws: ## Measure messages a second through the executor, beside the SDK alone (some minutes)
	go run ./internal/aws/awsbench $(BENCH)

.PHONY: bench-flyte
bench-flyte: ## Measure launches, bursts and lateness before a flyteadmin of our own, and following 10,000 launch plans (some 50 minutes)
	go run ./internal/flyte/flytebench $(BENCH)

.PHONY: bench-cron
bench-cron: ## Compare expressions with other libraries (COUNT=…, BENCHTIME=…)
	@mkdir -p bin
	go -C bench test -run '^$$' -bench . -benchtime "$(or $(BENCHTIME),200ms)" -count "$(or $(COUNT),6)" . | tee bin/bench-cron.txt
	@cd bench && for name in Next Parse; do go tool benchstat -filter ".name:$$name .unit:(sec/op OR allocs/op)" -row /expr,/zone -col /lib ../bin/bench-cron.txt; done
	@go -C bench run ./compare ../bin/bench-cron.txt

.PHONY: simulate
simulate: ## Run the engine under simulated trouble (SEEDS=…), or one seed again (SEED=…)
	go test ./internal/engine/simulation -count 1 -timeout 0 $(if $(SEED),-seed $(SEED) -seeds 1 -v,-seeds $(or $(SEEDS),1000))

.PHONY: torture
torture: ## Half an hour of trouble for three replicas on a real PostgreSQL (FOR=…, SCHEDULES=…)
	go test ./internal/engine/torture -count 1 -v -timeout 0 -for $(or $(FOR),30m) -schedules $(or $(SCHEDULES),1800) -skew 7m

.PHONY: torture-aws
torture-aws: ## Kill tminus fifty times while it takes 20,000 messages, doubled, poisoned and shuffled (MESSAGES=…, KILLS=…)
	go test ./internal/aws/torture -count 1 -v -timeout 0 -messages $(or $(MESSAGES),20000) -kills $(or $(KILLS),50)

.PHONY: fuzz
fuzz: ## Fuzz every parser for a minute each (FUZZTIME=…)
	./scripts/fuzz "$(or $(FUZZTIME),1m)"

.PHONY: smoke
smoke: ## Run the README's first command on a clean copy until a launch succeeds
	./scripts/smoke

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools are pinned in internal/tools, a module of its own; what is built or cached from them stays in .build.
GOLANGCI_LINT := .build/bin/golangci-lint
# A Python with Feast, as internal/interop/requirements.txt pins it; the copy of that file there says that it is complete.
FEAST := .build/feast
# The API server of Kubernetes, for tests.
KUBE_APISERVER := .build/kube-apiserver
# A server for tests, nothing of which is linked; MinIO tags no releases as Go modules.
MINIO := .build/bin/minio
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
PLATFORMS := linux/arm64 darwin/arm64 windows/amd64
# How long one test package may take, and how long one fuzz target runs.
TIMEOUT ?= 10m
FUZZTIME ?= 10s

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: format vet tidy generated build cross lint ## Everything short of tests: all targets from format to lint

.PHONY: format
format: ## Fail if a file is not formatted
	@files=$$(gofmt -l .); if [[ -n $$files ]]; then printf 'not formatted, run gofmt -w:\n%s\n' "$$files"; exit 1; fi

.PHONY: vet
vet: ## Run go vet
	go vet ./...
	cd internal/tools && go vet ./...

.PHONY: tidy
tidy: ## Fail if go.mod or go.sum is not tidy
	go mod tidy -diff
	cd internal/tools && go mod tidy -diff

.PHONY: generated
generated: ## Fail if generated code is out of date
	cd internal/tools && go run ./protogen -check ../protos

# With -trimpath, so that the size test of internal/layout finds these packages compiled.
.PHONY: build
build: ## Build without cgo
	CGO_ENABLED=0 go build -trimpath ./...

.PHONY: cross
cross: ## Build without cgo for the other platforms
	@for platform in $(PLATFORMS); do \
		echo "build for $$platform"; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} go build ./...; \
	done

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters of .golangci.yml
	GOLANGCI_LINT_CACHE=$(CURDIR)/.build/golangci-lint $(GOLANGCI_LINT) run ./...

$(GOLANGCI_LINT): internal/tools/go.mod
	cd internal/tools && go build -trimpath -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

.PHONY: test
test: ## Run the tests with the race detector
	go test -race -timeout $(TIMEOUT) ./...

.PHONY: interop
interop: $(FEAST)/requirements.txt ## Test against Feast itself, in Python
	FEAST_PYTHON=$(CURDIR)/$(FEAST)/bin/python go test -race -count=1 -timeout $(TIMEOUT) ./internal/interop

.PHONY: interop-all
interop-all: export FEAST_TEST_FULL = 1
interop-all: export FEAST_TEST_KUBE_APISERVER = $(CURDIR)/$(KUBE_APISERVER)
interop-all: $(KUBE_APISERVER) interop ## Test against Feast at full size, with service accounts of Kubernetes too

.PHONY: interop-bench
interop-bench: $(FEAST)/requirements.txt ## Measure Feast itself: applying, pushing, and beside this library joins, materializing and serving
	$(FEAST)/bin/python internal/interop/testdata/peer.py bench
	FEAST_BENCH_PYTHON=$(CURDIR)/$(FEAST)/bin/python go test -run '^$$' -bench 'BenchmarkJoinBeside/.*/.*/^1x' -benchtime 5x -timeout 1h ./offline/file
	FEAST_PYTHON=$(CURDIR)/$(FEAST)/bin/python go test -run '^$$' -bench BenchmarkMaterialize -benchtime 1x -timeout 1h ./internal/interop
	FEAST_PYTHON=$(CURDIR)/$(FEAST)/bin/python go test -run '^$$' -bench BenchmarkFeatureServer -benchtime 2s -timeout 1h ./internal/interop

$(FEAST)/requirements.txt: internal/interop/requirements.txt
	rm -rf $(FEAST)
	python3 -m venv $(FEAST)
	$(FEAST)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	cp $< $@

# Without the race detector, whose memory would be most of it.
.PHONY: memory
memory: ## Test the memory of joins, of 100M rows too: minutes, 4 GB of disk
	FEAST_TEST_HUGE=1 go test -count=1 -timeout 60m -run '^TestMemory' ./offline/file

# FEAST_TEST_FULL makes tests do all of what they otherwise do in small, or not at all: eight writers apply 200 times each, tokens are
# reviewed by an API server of Kubernetes, and come from Keycloak, which Maven brings.
.PHONY: test-all
test-all: export FEAST_TEST_FULL = 1
test-all: export PATH := $(CURDIR)/.build/bin:$(PATH)
test-all: export FEAST_TEST_KUBE_APISERVER = $(CURDIR)/$(KUBE_APISERVER)
test-all: $(MINIO) $(KUBE_APISERVER) test memory fuzz ## Run the tests at full size, those of memory, MinIO, MySQL and Kubernetes too, then the fuzz targets

# Minutes, once, both.
$(KUBE_APISERVER): internal/tools/apiserver/go.mod
	cd internal/tools/apiserver && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o ../../../$@ k8s.io/kubernetes/cmd/kube-apiserver
	@touch $@

$(MINIO):
	GOBIN=$(CURDIR)/.build/bin CGO_ENABLED=0 go install -trimpath github.com/minio/minio@$(MINIO_VERSION)

.PHONY: bench
bench: ## Run the benchmarks; with Feast beside them once make interop has installed it
	@dirs=$$(grep -rlE '^func Benchmark' --include='*_test.go' . | xargs -r -n1 dirname | sort -u); \
	FEAST_PYTHON="$${FEAST_PYTHON-$(wildcard $(CURDIR)/$(FEAST)/bin/python)}" go test -timeout 1h -run '^$$' -bench . $$dirs

# Minimizing an input that only finds new code would take most of the time where seeds are kilobytes.
.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME
	@grep -rnoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | while IFS=': ' read -r file _ _ target; do \
		echo "$${file%/*} $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$${file%/*}"; \
	done

.PHONY: generate
generate: ## Generate the code of the .proto files
	cd internal/tools && go run ./protogen ../protos

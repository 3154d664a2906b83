# Voxelstream. `make run` and `make test` include all setup; `make help` lists the other targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GOLANGCI_VERSION := v2.15.0
FUZZTIME ?= 60s
OUT ?= build/run

# VOXELSTREAM_NOHDF5=1 builds without HDF5 (no cgo needed).
TAGS := $(if $(filter 1,$(VOXELSTREAM_NOHDF5)),nohdf5)
GOFLAGS_TAGS := $(if $(TAGS),-tags $(TAGS))
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -X github.com/voxelstream/voxelstream/app.Commit=$(COMMIT) $(shell scripts/ldflags)
# Homebrew installs HDF5 where gonum's binding does not look for it.
ifeq ($(shell uname -s),Darwin)
export CGO_CFLAGS ?= -I$(shell brew --prefix hdf5 2>/dev/null)/include
export CGO_LDFLAGS ?= -L$(shell brew --prefix hdf5 2>/dev/null)/lib
endif

## run: generate a few hundred labelled 3D digits and stream them h5 -> volumes -> Kafka -> Conv3D -> classifications
.PHONY: run
run: build
	@scripts/demo bin/voxelstream $(OUT)

## build: build bin/voxelstream
.PHONY: build
build: setup
	go build $(GOFLAGS_TAGS) -ldflags '$(LDFLAGS)' -o bin/voxelstream ./cmd/voxelstream

## setup: install the build dependencies that Go does not provide (libhdf5, libdeflate)
.PHONY: setup
setup:
	@scripts/setup

## test: run vet, all unit tests and the integration tests of the binary
.PHONY: test
test: setup
	go vet $(GOFLAGS_TAGS) ./...
	go test $(GOFLAGS_TAGS) -timeout 10m ./...

## tiers: run the network's tests on the slower kernels (the kernels' own tests always cover all of them)
.PHONY: tiers
tiers: setup
	for tier in avx2 portable; do VOXELSTREAM_TIER=$$tier go test $(GOFLAGS_TAGS) -count 1 -timeout 10m ./classify ./nn ./nn/format/... ./nn/layers/... ./nn/parity ./nn/train ./nn/zoo; done

## race: run the tests with the race detector, except those of whole processes and of packages that start no goroutines
.PHONY: race
race: setup
	go test -race -timeout 20m $$(go list ./... | grep -v -e /integration -e '/nn/internal/\(kernel\|pass\)' -e /sinks/postgres)

## lint: run golangci-lint, including the import rules (depguard)
.PHONY: lint
lint: setup bin/golangci-lint-$(GOLANGCI_VERSION)
	bin/golangci-lint-$(GOLANGCI_VERSION) run --allow-parallel-runners ./...

bin/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/golangci-lint $@

## mutants: read a thousand damaged copies of every sample (takes minutes)
.PHONY: mutants
mutants: setup
	VOXELSTREAM_MUTANTS=1000 go test -run MutantsOfSamples -timeout 60m ./ingest/formats

## fuzz: run every fuzz target for FUZZTIME
.PHONY: fuzz
fuzz: setup
	scripts/fuzz $(FUZZTIME)

## integration: test whole processes, with Apache Kafka (needs java, mvn), pyarrow and Keras (needs python3; installs a venv)
.PHONY: integration
integration: RUN :=
integration: external

## external: run only the tests that need other software: Apache Kafka (java, mvn), PostgreSQL, Mosquitto, sqlite3, zstd, pyarrow, pandas, h5py and Keras (python3; installs a venv)
RUN := -run 'RealKafka|Pyarrow|Python|Servers|RowsOfKilledRuns'
.PHONY: external
external: build
	@{ command -v java && command -v mvn; } >/dev/null || echo "java or mvn is missing; tests with Apache Kafka are left out"
	@command -v python3 >/dev/null || echo "python3 is missing; tests with Keras and pyarrow are left out"
	@! command -v python3 >/dev/null || scripts/python-env build/venv
	@scripts/servers
	export VOXELSTREAM_PYTHON=$$(ls $(CURDIR)/build/venv/bin/python 2>/dev/null) VOXELSTREAM_REAL_KAFKA=1; \
	go test -timeout 15m ./sinks/postgres ./sinks/mqtt && \
	go test -count 1 -timeout 15m ./nn/format/... ./nn/parity/... ./internal/h5/... && go test -count 1 -timeout 15m $(RUN) ./integration/...

## live: stream simulated VLP-16 and Ouster 64 packets in real time for LENGTH (10m); fails on drops, growing memory or p99 above 100 ms
LENGTH ?= 10m
.PHONY: live
live: setup
	VOXELSTREAM_LIVE=$(LENGTH) go test $(GOFLAGS_TAGS) -count 1 -timeout 0 -v -run '^TestLive$$' ./integration

## parity: compare PARITY random models (300) with Keras, and a third as many each with ONNX and PyTorch; writes docs/reference/parity.md (installs two venvs, 7 GB)
PARITY ?= 300
.PHONY: parity
parity: setup
	scripts/python-env build/venv
	scripts/python-env build/torch scripts/torch-requirements.txt
	VOXELSTREAM_PYTHON=$(CURDIR)/build/venv/bin/python VOXELSTREAM_TORCH=$(CURDIR)/build/torch/bin/python VOXELSTREAM_PARITY=$(PARITY) go test -count 1 -timeout 60m ./nn/parity -update

## bench: run the Go benchmarks
.PHONY: bench
bench: setup
	go test -run '^$$' -bench . -benchmem ./nn/... ./internal/h5/... ./voxelize/... ./ingest/... ./pipeline/...

## bench-readers: compare file readers with laspy, plyfile, Open3D and numpy (installs a venv)
.PHONY: bench-readers
bench-readers: build
	scripts/python-env build/readers bench/readers/requirements.txt
	go build -o build/readers/readers ./bench/readers
	build/readers/bin/python bench/readers/run.py build/readers/readers

## bench-archives: compare reading and classifying archives with h5py, ONNX Runtime and Keras; updates docs/performance.md (installs a venv; ROWS=100000, 3 kB to 33 kB a row on disk; ARCHIVES="--only read")
ROWS ?= 100000
ARCHIVES ?=
.PHONY: bench-archives
bench-archives: build
	scripts/python-env build/archives bench/archives/requirements.txt
	go build -o build/archives/reader ./bench/archives
	build/archives/bin/python bench/archives/run.py bin/voxelstream build/archives/reader --rows $(ROWS) --page docs/performance.md --history bench/history/archives.csv $(ARCHIVES)

## bench-peers: compare the network with Keras, PyTorch, ONNX Runtime and OpenVINO; updates docs/performance.md (installs 7 GB of venvs; PEERS="--models tutorial")
PEERS ?=
.PHONY: bench-peers
bench-peers: build
	scripts/python-env build/peers bench/peers/requirements.txt
	scripts/python-env build/torch bench/peers/requirements-torch.txt
	build/peers/bin/python bench/peers/run.py bin/voxelstream --torch build/torch/bin/python --results bench/history/peers.json --page docs/performance.md --history bench/history/peers.csv $(PEERS)

## bench-elementwise: compare memory-bound layers with PyTorch; updates docs/performance.md (installs a venv)
.PHONY: bench-elementwise
bench-elementwise: setup
	scripts/python-env build/torch bench/peers/requirements-torch.txt
	build/torch/bin/python bench/elementwise/run.py --page docs/performance.md

## bench-passes: measure the effect of each optimisation pass; updates docs/performance.md
.PHONY: bench-passes
bench-passes: build
	python3 bench/passes/run.py bin/voxelstream --page docs/performance.md

## generate: regenerate config.yaml, the reference pages and the assembly
.PHONY: generate
generate: setup
	go generate ./...

## check-generate: run generate and fail if anything changes
.PHONY: check-generate
check-generate: generate
	@git diff --exit-code --stat || { echo "generated files differ: run 'make generate' and commit the result" >&2; exit 1; }

## fmt: format the Go files
.PHONY: fmt
fmt: bin/golangci-lint-$(GOLANGCI_VERSION)
	bin/golangci-lint-$(GOLANGCI_VERSION) fmt ./...

## clean: remove build outputs
.PHONY: clean
clean:
	rm -rf bin build

## help: list the targets
.PHONY: help
help:
	@grep -E '^## ' $(MAKEFILE_LIST) | sed 's/^## //'

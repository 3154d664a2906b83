# Voxelstream. `make run` and `make test` include all setup; `make help` lists the other targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GOLANGCI_VERSION := v2.15.0
VALE_VERSION := v3.22.0
VULN_VERSION := v1.9.0
NFPM_VERSION := v2.45.2
APIDIFF_VERSION := v0.0.0-20261113113407-e3970619a1a4
FUZZTIME ?= 60s
OUT ?= build/run

# VOXELSTREAM_NOHDF5=1 builds without HDF5 (no cgo needed).
TAGS := $(if $(filter 1,$(VOXELSTREAM_NOHDF5)),nohdf5)
GOFLAGS_TAGS := $(if $(TAGS),-tags $(TAGS))
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -X github.com/voxelstream/voxelstream/app.Commit=$(COMMIT) $(shell scripts/ldflags)
# Paths of this machine stay out of the binary: the same commit gives the same bytes in every folder.
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath
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

## man: write the man pages into build/man
.PHONY: man
man: build
	bin/voxelstream docs --man build/man

## reproducible: build the committed state and its packages twice, in different folders, and fail if the files differ
.PHONY: reproducible
reproducible: setup bin/nfpm-$(NFPM_VERSION)
	@scripts/reproducible bin/nfpm-$(NFPM_VERSION)

## setup: install the build dependencies that Go does not provide (libhdf5, libdeflate)
.PHONY: setup
setup:
	@scripts/setup

## test: run vet, all unit tests and the integration tests of the binary (EXTERNAL=1: also those of the target external)
EXTERNAL ?=
.PHONY: test
test: setup $(if $(EXTERNAL),external-tools)
	go vet $(GOFLAGS_TAGS) ./...
	$(if $(EXTERNAL),$(EXTERNAL_ENV)) go test $(GOFLAGS_TAGS) -timeout 60m ./...

## tiers: run the network's tests on the kernels that are slower than this processor's (the kernels' own tests always cover all)
.PHONY: tiers
tiers: build
	own=$$(bin/voxelstream version --json | sed 's/.*"tier":"\([a-z0-9]*\)".*/\1/'); \
	for tier in avx2 portable; do [ $$tier = $$own ] || \
	VOXELSTREAM_TIER=$$tier go test $(GOFLAGS_TAGS) -count 1 -timeout 60m ./classify ./nn ./nn/format/... ./nn/layers/... ./nn/parity ./nn/train ./nn/zoo; done

## race: run the tests of packages that start goroutines with the race detector, except those of whole processes
.PHONY: race
race: setup
	go test -race -timeout 60m $$(scripts/raced)

## lint: run golangci-lint, including the import rules (depguard)
.PHONY: lint
lint: setup bin/golangci-lint-$(GOLANGCI_VERSION)
	bin/golangci-lint-$(GOLANGCI_VERSION) run --allow-parallel-runners ./...

bin/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/golangci-lint $@

## prose: check the language of the pages against the house style in scripts/prose (builds vale)
PROSE := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md app/models/builtin/README.md bench/history/README.md $(wildcard docs/*.md) docs/decisions docs/explanation docs/help docs/how-to docs/tutorial $(patsubst %,docs/reference/%.md,README frames kafka-faults parity perception-accuracy robustness volumes)
.PHONY: prose
prose: bin/vale-$(VALE_VERSION)
	bin/vale-$(VALE_VERSION) --config scripts/prose/vale.ini --output line $(PROSE)

bin/vale-$(VALE_VERSION):
	GOBIN=$(CURDIR)/bin go install github.com/vale-cli/vale/v3/cmd/vale@$(VALE_VERSION)
	mv bin/vale $@

## package: write archive, deb, rpm, source, Homebrew formula and checksums of this commit to build/dist (Debian or Ubuntu; see docs/decisions/0058-packages.md)
.PHONY: package
package: setup bin/nfpm-$(NFPM_VERSION)
	@scripts/package bin/nfpm-$(NFPM_VERSION) build/dist

bin/nfpm-$(NFPM_VERSION):
	GOBIN=$(CURDIR)/bin go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	mv bin/nfpm $@

## package-check: build the packages, install them in temporary roots, run what they hold and check their metadata
.PHONY: package-check
package-check: package
	@scripts/deploy-tools build/deploy-tools
	VOXELSTREAM_DIST=$(CURDIR)/build/dist go test -count 1 ./deploy/package
	CGO_ENABLED=0 go test -count 1 ./internal/h5

## api: compare the exported API with that of the last tag; fails on incompatible changes from v1.0.0 on
.PHONY: api
api: setup
	@scripts/api $(APIDIFF_VERSION)

## deploy-check: check image, compose file, Helm chart, units, alerts and dashboard (systemd-analyze, promtool and hadolint if they are available)
.PHONY: deploy-check
deploy-check: setup
	@scripts/deploy-tools build/deploy-tools
	cd deploy/check && PATH=$(CURDIR)/build/deploy-tools/bin:$$PATH go test -count 1 ./...
	go test -count 1 ./deploy

## vuln: look for known vulnerabilities in the code that the program calls (VULNDB=file:///PATH uses a copy of the vulnerability database)
.PHONY: vuln
vuln: setup
	scripts/vuln $(VULN_VERSION)

## mnist: fetch the 70,000 digits of MNIST into build/mnist, for generate --digits
.PHONY: mnist
mnist:
	scripts/mnist

## mutants: read MUTANTS (20000) damaged inputs with each decoder, and 1,000 damaged copies of every sample and record batch; writes docs/reference/robustness.md (takes an hour)
MUTANTS ?= 20000
.PHONY: mutants
mutants: setup
	scripts/mutants $(MUTANTS)
	VOXELSTREAM_MUTANTS=1000 go test -count 1 -run "MutantsOfSamples|^TestMutants$$" -timeout 60m ./ingest/formats ./pipeline/transport/recordset

## fuzz: run every fuzz target for FUZZTIME
.PHONY: fuzz
fuzz: setup
	scripts/fuzz $(FUZZTIME)

## integration: test whole processes, with Apache Kafka (needs java, mvn), pyarrow and Keras (needs python3; installs a venv)
.PHONY: integration
integration: RUN :=
integration: external

## browser: test the page in Chromium (installed with the other servers; axe-core needs npm ci in serve/web)
.PHONY: browser
browser: setup
	@scripts/servers
	VOXELSTREAM_BROWSER=1 go test $(GOFLAGS_TAGS) -count 1 -timeout 60m -v -run '^TestWeb' ./integration

## pictures: make all pictures of the documentation: drawings, and those of the page (needs Chromium and the sample files)
.PHONY: pictures
pictures: drawings
	@scripts/servers
	mkdir -p docs/pictures
	VOXELSTREAM_BROWSER=1 VOXELSTREAM_PICTURES=1 go test $(GOFLAGS_TAGS) -count 1 -timeout 60m -v -run '^TestWebPictures$$' ./integration

## drawings: draw the pictures of the documentation that need only the program's own data, in docs/pictures
.PHONY: drawings
drawings: build
	scripts/drawings bin/voxelstream docs

## external: run only the tests that need other software: Chromium, Apache Kafka (java, mvn), PostgreSQL, Mosquitto, sqlite3, zstd, pyarrow, pandas, h5py, Keras, tritonclient and schemathesis (python3; installs venvs)
RUN := -run 'TestWeb|RealKafka|Pyarrow|Python|Servers|RowsOfKilledRuns'
.PHONY: external
external: external-tools
	$(EXTERNAL_ENV) go test -timeout 60m ./sinks/postgres ./sinks/mqtt
	$(EXTERNAL_ENV) go test -count 1 -timeout 60m ./nn/format/... ./nn/parity/... ./internal/h5/...
	$(EXTERNAL_ENV) go test -count 1 -timeout 60m $(RUN) ./integration/...

EXTERNAL_ENV = VOXELSTREAM_REAL_KAFKA=1 VOXELSTREAM_BROWSER=1 VOXELSTREAM_PYTHON=$$(ls $(CURDIR)/build/venv/bin/python 2>/dev/null || true) \
	VOXELSTREAM_CLIENTS=$$(ls -d $(CURDIR)/build/clients 2>/dev/null || true)

# What the external tests talk to. Tests leave out what is missing.
.PHONY: external-tools
external-tools:
	@{ command -v java && command -v mvn; } >/dev/null || echo "java or mvn is missing; tests with Apache Kafka are left out"
	@command -v python3 >/dev/null || echo "python3 is missing; tests with Keras and pyarrow are left out"
	@! command -v python3 >/dev/null || scripts/python-env build/venv
	@! command -v python3 >/dev/null || scripts/python-env build/clients scripts/clients-requirements.txt
	@scripts/servers

## reloads: load a model 1,000 times while clients send requests; none may fail
RELOADS ?= 1000
.PHONY: reloads
reloads: setup
	VOXELSTREAM_RELOADS=$(RELOADS) go test $(GOFLAGS_TAGS) -count 1 -timeout 60m -v -run '^TestReloads$$' ./integration

## live: stream simulated VLP-16 and Ouster 64 packets in real time for LENGTH (10m); fails on drops, growing memory or p99 above 100 ms
LENGTH ?= 10m
.PHONY: live
live: setup
	VOXELSTREAM_LIVE=$(LENGTH) go test $(GOFLAGS_TAGS) -count 1 -timeout 0 -v -run '^TestLive$$' ./integration

## faults: let each read, write, open, rename ... of small jobs fail once with each error (FAULTS=all takes hours; a number: so many of each job)
FAULTS ?= all
.PHONY: faults
faults: setup
	VOXELSTREAM_FAULTS=$(FAULTS) go test $(GOFLAGS_TAGS) -count 1 -timeout 0 -parallel 4 -run '^TestFaults$$' ./integration

## day: run a service for LENGTH (10m) with 1 GiB of memory, good and hostile inputs, kills, a full disk and a lack of descriptors (best as root)
.PHONY: day
day: setup
	VOXELSTREAM_DAY=$(LENGTH) go test $(GOFLAGS_TAGS) -count 1 -timeout 0 -v -run '^TestDay$$' ./integration

## kafka-faults: run the fault suite on Apache Kafka (VERSION=3.9.1; BROKERS=1, 3, or 0 for the embedded broker; TIMES=1; SEED=N; CASE=regexp; PAGE=1 updates docs/reference/kafka-faults.md)
VERSION ?= 3.9.1
BROKERS ?= 1
TIMES ?= 1
SEED ?=
CASE ?=
PAGE ?=
KAFKA_ENV = VOXELSTREAM_REAL_KAFKA=1 VOXELSTREAM_CLIENTS=$(CURDIR)/build/clients VOXELSTREAM_KAFKA_VERSION=$(VERSION) VOXELSTREAM_KAFKA_BROKERS=$(BROKERS) VOXELSTREAM_KAFKA_SEED=$(SEED)
.PHONY: kafka-faults
kafka-faults: setup
	scripts/python-env build/clients scripts/clients-requirements.txt
	$(KAFKA_ENV) VOXELSTREAM_KAFKA_FAULTS=1 VOXELSTREAM_KAFKA_TIMES=$(TIMES) VOXELSTREAM_KAFKA_CASE='$(CASE)' VOXELSTREAM_KAFKA_PAGE=$(if $(PAGE),$(CURDIR)/docs/reference/kafka-faults.md) \
	go test $(GOFLAGS_TAGS) -count 1 -timeout 0 -parallel 3 -v -run '^TestFaultsOfKafka$$' ./integration

## soak: classify for LENGTH (10m) at 80 % of capacity with a fault every 30 s (VERSION, BROKERS, SEED as above); prints the slopes of memory, goroutines and descriptors
.PHONY: soak
soak: setup
	scripts/python-env build/clients scripts/clients-requirements.txt
	$(KAFKA_ENV) VOXELSTREAM_SOAK=$(LENGTH) go test $(GOFLAGS_TAGS) -count 1 -timeout 0 -v -run '^TestKafkaSoak$$' ./integration

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

## bench-voxelize: compare voxelization and colour mapping with numpy, Open3D, pyntcloud and matplotlib (installs a venv)
.PHONY: bench-voxelize
bench-voxelize: setup
	scripts/python-env build/voxelize bench/voxelize/requirements.txt
	go build -o build/voxelize/voxelize ./bench/voxelize
	build/voxelize/bin/python bench/voxelize/run.py build/voxelize/voxelize

## bench-augment: compare augmentations with NumPy and SciPy (installs a venv)
.PHONY: bench-augment
bench-augment: build
	scripts/python-env build/augment bench/augment/requirements.txt
	go build -o build/augment/augment ./bench/augment
	build/augment/bin/python bench/augment/run.py build/augment/augment

## bench-accuracy: train the networks of docs/accuracy.md on MNIST and write its tables (takes two hours; keeps what it has in build/accuracy; ONLY=plane,best)
ONLY ?=
.PHONY: bench-accuracy
bench-accuracy: build mnist
	go build -o build/accuracy/accuracy ./bench/accuracy
	build/accuracy/accuracy -only "$(ONLY)" -page docs/accuracy.md bin/voxelstream build/mnist build/accuracy

## bench-archives: compare reading and classifying archives with h5py, ONNX Runtime and Keras; updates docs/performance.md (installs a venv; ROWS=100000, 3 kB to 33 kB a row on disk; ARCHIVES="--only read")
ROWS ?= 100000
ARCHIVES ?=
.PHONY: bench-archives
bench-archives: build
	scripts/python-env build/archives bench/archives/requirements.txt
	go build -o build/archives/reader ./bench/archives
	build/archives/bin/python bench/archives/run.py bin/voxelstream build/archives/reader --rows $(ROWS) --page docs/performance.md --history bench/history/archives.csv $(ARCHIVES)

## bench-stream: measure what streaming costs in addition to the network, on the embedded broker or on the one in STREAM="--brokers 127.0.0.1:9092" (STREAM="--rate 100": latency)
STREAM ?=
.PHONY: bench-stream
bench-stream: build
	mkdir -p build/stream
	go build -o build/stream/stream ./bench/stream
	test -e build/stream/digits.h5 || bin/voxelstream generate --count 2000 --augment --seed 1 --out build/stream/digits.h5
	test -e build/stream/digits.keras || bin/voxelstream train build/stream/digits.h5 --arch tutorial --epochs 2 --quiet --out build/stream/digits.keras
	build/stream/stream $(STREAM) bin/voxelstream build/stream/digits.keras build/stream/digits.h5

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

## bench-passes: measure the effect of each optimization pass; updates docs/performance.md
.PHONY: bench-passes
bench-passes: build
	python3 bench/passes/run.py bin/voxelstream --page docs/performance.md

## bench-ground: compare the ground of scans with Patchwork++ (installs a venv; SAMPLES=../shared/samples)
SAMPLES ?= ../shared/samples
.PHONY: bench-ground
bench-ground: setup
	scripts/python-env build/ground bench/perception/ground/requirements.txt
	go build -o build/ground/ground ./bench/perception/ground
	build/ground/bin/python bench/perception/ground/run.py build/ground/ground $(SAMPLES)

## bench-filters: compare filters of scans with PCL and Open3D (needs libpcl-dev; installs a venv; SAMPLES=../shared/samples)
.PHONY: bench-filters
bench-filters: setup
	scripts/python-env build/filters bench/perception/filters/requirements.txt
	go build -o build/filters/filters ./bench/perception/filters
	$(CXX) -O3 -DNDEBUG -o build/filters/pcl bench/perception/filters/pcl/pcl.cpp $$(ls -d /usr/include/pcl-* /usr/include/eigen3 | sed 's/^/-I/') -lpcl_common -lpcl_search -lpcl_filters -lpcl_features -lpcl_kdtree -llz4
	build/filters/bin/python bench/perception/filters/run.py build/filters/filters build/filters/pcl $(SAMPLES)

## bench-clusters: compare Euclidean clusters with Open3D's DBSCAN and PCL (needs libpcl-dev; installs a venv; SAMPLES=../shared/samples)
.PHONY: bench-clusters
bench-clusters: setup
	scripts/python-env build/clusters bench/perception/clusters/requirements.txt
	go build -o build/clusters/clusters ./bench/perception/clusters
	g++ -O3 -march=native -o build/clusters/pcl bench/perception/clusters/pcl/pcl.cpp $$(pkg-config --cflags --libs eigen3) -I$$(ls -d /usr/include/pcl-*) -lpcl_segmentation -lpcl_search -lpcl_kdtree -lpcl_common
	build/clusters/bin/python bench/perception/clusters/run.py build/clusters/clusters build/clusters/pcl $(SAMPLES)

## bench-perception: measure how well ground, objects, tracks and speeds are found in simulated streets and rooms; writes docs/reference/perception-accuracy.md (takes minutes)
.PHONY: bench-perception
bench-perception: setup
	go run ./bench/perception/scenes --page docs/reference/perception-accuracy.md

## bench-classes: measure how often objects in simulated streets get the right class; writes docs/reference/object-classes.md (takes minutes)
.PHONY: bench-classes
bench-classes: setup
	go run ./bench/perception/classes --page docs/reference/object-classes.md

## web: build the page, serve/web/dist (needs node 20.19 or newer and npm)
.PHONY: web
web:
	cd serve/web && npm ci && npm run build

## docs: serve the documentation on http://127.0.0.1:1313 while it is edited (needs python3 and npm; installs Hugo)
.PHONY: docs
docs: docs-tools
	$(HUGO) server --renderToMemory --bind 127.0.0.1 --disableFastRender

## docs-build: write the site of the documentation to build/site, and check its links
.PHONY: docs-build
docs-build: docs-tools
	$(HUGO) build --cleanDestinationDir --panicOnWarning --quiet
	VOXELSTREAM_SITE=$(CURDIR)/build/site go test -count 1 -run '^TestSite$$' ./docs

HUGO = HUGO_CACHEDIR=$(CURDIR)/build/hugo/cache build/docs-tools/hugo --source . --config site/hugo.yaml --noBuildLock

.PHONY: docs-tools
docs-tools:
	@scripts/docs-tools build/docs-tools

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

# SPDX-License-Identifier: Apache-2.0
GO            ?= go
FUZZTIME      ?= 30s
FUZZLONG      ?= 30m
FUZZJOBS      ?= 2
BENCHCOUNT    ?= 1
E2ERUN        ?= .
E2ETIMEOUT    ?= 40m
TESTFLAGS     ?=
E2EFLAGS      ?= -v
GOLANGCI_LINT ?= v2.15.0
DEADCODE      ?= v0.51.0
IMAGE         ?= oom-exporter
# Debian 12's; another version makes other bytes.
CLANG         ?= clang-14
LLVM_STRIP    ?= llvm-strip-14

VERSION  := $(shell cat VERSION)
REVISION := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BRANCH   := $(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
PKG      := github.com/prometheus/common/version
LDFLAGS  := -s -w -X $(PKG).Version=$(VERSION) -X $(PKG).Revision=$(REVISION) -X $(PKG).Branch=$(BRANCH)
GOBIN    := $(shell $(GO) env GOPATH)/bin
# Packages whose tests know -update, and "package target" of each fuzz target.
UPDATERS  = $(sort $(dir $(shell grep -rlE 'flag.Bool."update"' --include='*_test.go' .)))
FUZZERS   = grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sed -E 's,/[^/]*:func , ,' | sort
# Each fuzz target for a time.
FUZZEACH  = $(FUZZERS) | xargs -r -P $(FUZZJOBS) -L 1 sh -c '.ci/fuzz "$$1" "$$2" $(1)' sh

.PHONY: help all build build-guard run test test-race fuzz fuzz-long bench bench-scale soak e2e e2e-full pictures lint vet-arch bpf release golden docs image image-guard
help: ## what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

all: lint test build ## lint, unit tests, the binary

build: ## the static binary, as in the image
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o oom_exporter ./cmd/oom_exporter

build-guard: ## oom_guard, a program of its own
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o oom_guard ./cmd/oom_guard

run: build ## serve this host's metrics
	./oom_exporter

test: ## unit tests: no root, no network
	$(GO) test $(TESTFLAGS) ./...

# The tests of the dashboards run nothing of ours at the same time.
test-race: ## unit tests under the race detector, with fewer draws
	$(GO) test -race -short -timeout 20m $(TESTFLAGS) $(shell $(GO) list ./... | grep -vE '/dashboards(/|$$)')

fuzz: ## FUZZTIME for each fuzz target, FUZZJOBS at a time
	@$(call FUZZEACH,$(FUZZTIME))

fuzz-long: ## FUZZLONG (30m) for each fuzz target, for a night; writes docs/evidence/fuzz.md
	@log=$$(mktemp) && $(call FUZZEACH,$(FUZZLONG)) 2>&1 | tee "$$log"; \
	$(GO) run ./e2e/fuzzpage -commit $(REVISION) -about '$(FUZZLONG) for each target, $(FUZZJOBS) at a time.' <"$$log" >docs/evidence/fuzz.md; \
	status=$$?; rm -f "$$log"; exit $$status

bench: ## benchmarks of all packages
	$(GO) test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./...

bench-scale: ## root: cost at scale
	$(GO) test -tags e2e,scale -p 1 -count=1 -v -timeout 60m -run '^TestScale' ./e2e/...

soak: ## root: half an hour of churn at the largest size
	OOM_E2E_SOAK=30m $(GO) test -tags e2e -count=1 -v -timeout 60m -run '^TestSoak$$' ./e2e/scale

e2e: ## root: the binary on real kernels
	$(GO) test -tags e2e -p 1 -count=1 $(E2EFLAGS) -timeout $(E2ETIMEOUT) -run '$(E2ERUN)' ./e2e/...

e2e-full: ## e2e with what takes too long for CI
	OOM_E2E_FULL=1 $(GO) test -tags e2e,full -p 1 -count=1 $(E2EFLAGS) -timeout 180m -run '$(E2ERUN)' ./e2e/...

pictures: ## root, npm, Chromium: the dashboards drawn by Grafana's components, into docs/images
	$(GO) test -tags e2e,pictures -count=1 -v -timeout 20m -run '^TestPictures$$' ./e2e/alerting

lint: ## golangci-lint, installed if it is missing, and no function that the programs never call
	@command -v golangci-lint $(GOBIN)/golangci-lint >/dev/null || $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	PATH="$$PATH:$(GOBIN)" golangci-lint run ./...
	@dead=$$($(GO) run golang.org/x/tools/cmd/deadcode@$(DEADCODE) ./cmd/...) && if [ -n "$$dead" ]; then echo "$$dead"; exit 1; fi

vet-arch: ## go vet for 32 bits and for big-endian
	GOARCH=386 $(GO) vet ./...
	GOARCH=s390x $(GO) vet ./...

bpf: ## the objects of internal/bpf from their C sources: CLANG and LLVM_STRIP of Debian 12
	cd internal/bpf && for program in victims processes cgroups; do \
		$(CLANG) -target bpfel -mcpu=v2 -O2 -g -Wall -Wextra -Werror -fdebug-compilation-dir=. -c src/$$program.bpf.c -o $${program}_bpfel.o || exit 1; \
	done
	$(LLVM_STRIP) -g internal/bpf/*_bpfel.o

release: ## all that a release has, in dist/
	.ci/release dist

golden: ## rewrite the golden files and generated pages from the code
	$(GO) test $(UPDATERS) -update

docs: golden ## the same: docs/metrics.md and docs/flags.md are golden files

image: ## the exporter's image, by docker
	docker build --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg BRANCH=$(BRANCH) -t $(IMAGE):$(VERSION) .

image-guard: ## oom_guard's image, by docker
	docker build -f Dockerfile.guard --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg BRANCH=$(BRANCH) -t oom-guard:$(VERSION) .

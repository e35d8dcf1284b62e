# Every target works from a clean clone with nothing but Go and, for the
# tests, a Debian machine whose packages can be installed.

SHELL   := /bin/bash
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help build run test test-load fuzz lint peers prompts music bench-call bench-store bench-media bench-sip soak clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/bugle, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/bugle ./cmd/bugle

run: build ## the demo helpline on loopback, everything embedded
	bin/bugle demo

# The end-to-end tests listen for gaps in what a caller hears, so they come when the
# rooms are through. They mostly wait, and take a tenth of the machine one after the
# other: five at a time. Rooms wait as well, so three are tested at a time.
# They, the plan of the rooms and the rules' tests look at what the test cache
# doesn't know of: -count=1.
test: peers ## all tests with the race detector (not the load tests)
	$(GO) test -race -p 3 -parallel 4 -timeout 10m -count=1 $$($(GO) list ./... | grep -v /test/e2e)
	$(GO) test -race -timeout 10m -count=1 -parallel 5 ./test/e2e

FUZZTIME ?= 30s

fuzz: ## every fuzz target of every room, FUZZTIME (30s) each
	@set -e; git grep -o '^func Fuzz[A-Za-z0-9]*' -- '*_test.go' | sed -E 's|(.*)/[^/]*:func (.*)|./\1 \2|' | \
	while read -r room target; do echo "$$room $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$room </dev/null; done

test-load: peers build ## load tests on a plain build
	$(GO) test -tags load -count=1 -timeout 35m -v ./test/load/...
	$(GO) test -run '^$$' -fuzz FuzzLeg -fuzztime 15s -fuzzminimizetime 20x ./sip
	BUGLE_HISTORIES=100000 $(GO) test -count=1 -timeout 15m -run Histories ./sip
	$(GO) test -count=1 -timeout 5m ./media # whole: the race detector's tests do less of what is mere computation

lint: ## gofmt, go vet, staticcheck
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt-ed:"; echo "$$out"; exit 1; fi
	$(GO) vet -tags load,bench ./...
	$(GO) tool staticcheck -tags load,bench ./...

peers: ## install the test peers: sipp, baresip, rtpengine, redis-server, postgresql, prometheus, gcc
	@test/install-peers.sh

prompts: ## render the demo's prompts anew (needs espeak-ng and sox) and its music
	deployments/demo/make-prompts.sh

bench-call: peers build ## the whole path of a call: CPU a call, memory, latency
	@set -o pipefail; $(GO) test -tags bench -count=1 -timeout 20m -v ./bench/call | grep -E '^call |FAIL|call_test.go'

bench-store: peers ## the event log, the history and a day's report, with both databases
	@set -o pipefail; $(GO) test -tags bench -count=1 -timeout 20m -v ./bench/store | grep -E '^store |FAIL|store_test.go'

bench-media: peers ## the media engine: against the machine's limit and rtpengine, and at its size (BENCH=short for a look)
	@set -o pipefail; $(GO) test -tags bench -count=1 -timeout 30m -v ./bench/media | grep -E '^media |FAIL|_test.go'

bench-sip: peers ## signalling: a call of one leg and of two, beside sipp, Kamailio and the bare library (BENCH=short for a look)
	@mkdir -p bin # a profile needs the names in a binary that is kept
	@set -o pipefail; $(GO) test -o bin/ -tags bench -count=1 -timeout 20m -v ./bench/sip | grep -E '^sip |FAIL|_test.go'

SOAK ?= 1h
RATE ?= 20

soak: peers build ## the database away for SOAK (1h) under RATE (20) calls a second
	$(GO) test -tags load -count=1 -timeout 0 -v -run DatabaseAway/crashed ./test/load -outage $(SOAK) -rate $(RATE)

clean:
	rm -rf bin demo-data

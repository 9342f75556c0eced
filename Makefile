# Everything a newcomer needs: build, test, check, bench.
GO ?= go
export CGO_ENABLED ?= 0

.PHONY: build test race check bench tools clean

build: ## the static binary, bin/showrunner
	$(GO) build -trimpath -ldflags "-s -w" -o bin/showrunner ./cmd/showrunner

test: tools ## every test, with what they need installed first where it may be
	$(GO) tool gotestsum --format pkgname-and-test-fails --packages=./... -- -timeout 10m

race: tools ## the tests of what runs concurrently, with the race detector
	CGO_ENABLED=1 $(GO) tool gotestsum --format pkgname-and-test-fails --hide-summary=skipped -- -race -timeout 15m $(RACE)

# The packages whose tests start goroutines of their own.
RACE = ./execution/... ./store/... ./rollout/... ./cloud/localcloud/... ./trigger/... ./secret/... ./control/... ./api/...

check: ## what a change must pass
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

tools: ## installs what the tests drive (browser, PostgreSQL, git) where it is missing and may be installed
	@scripts/test-tools.sh

clean:
	rm -rf bin

bench: build ## the benchmarks, beside their peers where those are installed
	$(GO) run ./bench/engine -peer
	$(GO) run ./bench/site -showrunner bin/showrunner
	$(GO) run ./bench/visit -showrunner bin/showrunner
	$(GO) run ./bench/storm -showrunner bin/showrunner
	$(GO) run ./bench/balancer -showrunner bin/showrunner
	$(GO) run ./bench/fleet -showrunner bin/showrunner
	$(GO) run ./bench/deployments -showrunner bin/showrunner
	$(GO) run ./bench/badversions -showrunner bin/showrunner
	$(GO) run ./bench/public -showrunner bin/showrunner
	$(GO) run ./bench/killsteps -showrunner bin/showrunner
	$(GO) run ./bench/commands -showrunner bin/showrunner
	$(GO) run ./bench/crash
	$(GO) run ./bench/crash -takeover 20 -scale
	$(GO) run ./bench/push -showrunner bin/showrunner
	$(GO) run ./bench/keep -n 20000
	$(GO) run ./bench/overload -binary bin/showrunner

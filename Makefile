# Everything a newcomer needs: build, test, check, bench.
GO ?= go
export CGO_ENABLED ?= 0

.PHONY: build test race check cross release pictures image bench tools clean

build: ## the static binary, bin/showrunner
	$(GO) build -trimpath -ldflags "-s -w" -o bin/showrunner ./cmd/showrunner

# go test vets with some of the checks that "make check" makes in full; without a cache
# that is a minute of processor time for each of the two targets.
UNVETTED = -vet=off

test: tools ## every test, with what they need installed first where it may be
	$(GO) tool gotestsum --format pkgname-and-test-fails --packages=./... -- $(UNVETTED) -timeout 40m

race: tools ## the tests of what runs concurrently, with the race detector and without the longest simulations
	CGO_ENABLED=1 $(GO) tool gotestsum --format pkgname-and-test-fails --hide-summary=skipped -- $(UNVETTED) -race -short -timeout 30m $(RACE)

# The packages whose tests start goroutines of their own and end within minutes.
# Others take longer with the race detector: make race RACE=./store/...
RACE = ./execution ./rollout ./trigger ./secret/... ./control/... ./api/... ./eventlog ./source ./cloud/localcloud/proxy/... ./cloud/localcloud/balancer ./cloud/localcloud/edge ./cloud/localcloud/sites ./awsapi/...

check: ## what a change must pass
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd bench && $(GO) vet ./...

# The systems that it runs on; what differs on each is in docs/install.md.
SYSTEMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

cross: ## compiles for every system, and vets the tests of another one
	@for s in $(SYSTEMS); do echo "$$s"; GOOS=$${s%/*} GOARCH=$${s#*/} $(GO) build -trimpath -o /dev/null ./cmd/showrunner || exit 1; done
	GOOS=darwin GOARCH=arm64 $(GO) vet -trimpath ./... # the flag of the build above, whose packages it takes

VERSION ?= $(shell git describe --tags --dirty 2>/dev/null)
release: ## static binaries for every system into dist/, with checksums: make release VERSION=v0.3.0
	@TARGETS="$(SYSTEMS)" GO="$(GO)" scripts/release.sh "$(VERSION)"

pictures: ## the pictures of README and docs, from the gallery, with the Chromium of this machine
	$(GO) run ./web/gallery/pictures

image: build ## the image of this binary alone, with podman or docker
	@scripts/image.sh bin/showrunner

tools: ## installs what the tests drive (browser, PostgreSQL, git) where it is missing and may be installed
	@scripts/test-tools.sh

clean:
	rm -rf bin dist

# Each benchmark is a part of one of four commands: go run ./load -h lists them.
BENCH = cd bench && $(GO) run

bench: build ## the benchmarks, beside their peers where those are installed
	$(BENCH) ./peers engine -peer
	$(BENCH) ./peers balancer -showrunner ../bin/showrunner
	$(BENCH) ./peers site -showrunner ../bin/showrunner
	for part in storm deployments badversions killsteps visit push; do \
		(cd bench && $(GO) run ./load $$part -showrunner ../bin/showrunner) || exit 1; done
	$(BENCH) ./durability crash -showrunner ../bin/showrunner
	$(BENCH) ./durability crash -showrunner ../bin/showrunner -takeover 20 -scale -spread 200
	$(BENCH) ./scale fleet -showrunner ../bin/showrunner
	$(BENCH) ./scale history -showrunner ../bin/showrunner -n 20000
	$(BENCH) ./scale overload -showrunner ../bin/showrunner

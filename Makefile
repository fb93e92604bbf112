# Stepward. `make help` lists the targets.

SHELL         := bash
.SHELLFLAGS   := -eu -o pipefail -c
MAKEFLAGS     += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

TOOLS       := $(CURDIR)/.tools
STATICCHECK := $(TOOLS)/bin/staticcheck-0.8.2
SUMTYPE     := $(TOOLS)/bin/go-check-sumtype-0.4.0
GOVULNCHECK := $(TOOLS)/bin/govulncheck-1.9.0
STEPWARD    := bin/stepward
FUZZTIME    ?= 5s

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | while IFS=$$'\t' read -r t d; do printf '  %-12s %s\n' "$$t" "$$d"; done

.PHONY: build
build: $(STEPWARD) ## Build bin/stepward, static and reproducible

.PHONY: $(STEPWARD)
$(STEPWARD):
	@test -e $@ || echo "compiling $@, with every library: about two minutes the first time, seconds later"
	$(BUILD) -o $@ ./cmd/stepward

.PHONY: demo
demo: build ## Watch a step-up happen behind a real Envoy, which is fetched into .tools the first time (35 MB)
	$(STEPWARD) demo

# Downloads stay in .tools, including the caches of npm and Maven.
NPM := npm ci --cache $(TOOLS)/npm --no-audit --no-fund --ignore-scripts

# Third-party libraries that make tokens for our tests, each pinned by its lock file.
PRODUCERS := $(TOOLS)/producers
FROM      := pkg/trust/jwt/testdata/producers

$(PRODUCERS)/.made: $(FROM)/package-lock.json $(FROM)/requirements.txt $(FROM)/make.mjs $(FROM)/make.py
	rm -rf $(PRODUCERS)
	mkdir -p $(PRODUCERS)
	cp $(FROM)/package.json $(FROM)/package-lock.json $(FROM)/make.mjs $(FROM)/make.py $(PRODUCERS)
	cd $(PRODUCERS) && $(NPM)
	python3 -m venv $(PRODUCERS)/venv
	$(PRODUCERS)/venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --only-binary :all: -r $(FROM)/requirements.txt
	touch $@

.PHONY: producers
producers: $(PRODUCERS)/.made ## Install the libraries that make tokens for our tests

# Third-party identity providers, each pinned.
KEYCLOAK := 26.7.3
NODE_IDP := $(TOOLS)/oidc-provider
NODE_SRC := pkg/internal/realidp/testdata/oidc-provider

$(TOOLS)/keycloak-$(KEYCLOAK)/.made:
	mvn -B -q -C -Dmaven.repo.local=$(TOOLS)/m2 org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -Dartifact=org.keycloak:keycloak-quarkus-dist:$(KEYCLOAK):tar.gz -DoutputDirectory=$(TOOLS)
	rm -rf $(@D) && tar -xzf $(TOOLS)/keycloak-quarkus-dist-$(KEYCLOAK).tar.gz -C $(TOOLS) && rm $(TOOLS)/keycloak-quarkus-dist-$(KEYCLOAK).tar.gz
	ln -sfn keycloak-$(KEYCLOAK) $(TOOLS)/keycloak
	touch $@

$(NODE_IDP)/.made: $(NODE_SRC)/package-lock.json $(NODE_SRC)/package.json $(NODE_SRC)/provider.mjs
	mkdir -p $(NODE_IDP)
	cp $(NODE_SRC)/package.json $(NODE_SRC)/package-lock.json $(NODE_SRC)/provider.mjs $(NODE_IDP)
	cd $(NODE_IDP) && $(NPM)
	touch $@

.PHONY: providers
providers: $(TOOLS)/keycloak-$(KEYCLOAK)/.made $(NODE_IDP)/.made ## Install the identity providers that tests run against

# A browser for the tests of the pages: Debian's, if we may install it, and accessibility
# rules for the pages.
BROWSER := $(TOOLS)/axe
AXE     := pkg/author/playground/testdata/axe

$(BROWSER)/.made: $(AXE)/package-lock.json $(AXE)/package.json
	mkdir -p $(BROWSER)
	cp $(AXE)/package.json $(AXE)/package-lock.json $(BROWSER)
	cd $(BROWSER) && $(NPM)
	touch $@

.PHONY: browser
browser: $(BROWSER)/.made ## Install Chromium, as root on Debian, and axe-core, for the tests of the pages
	@if command -v chromium chromium-browser google-chrome > /dev/null; then :; \
	elif test "$$(id -u)" = 0 && command -v apt-get > /dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core; \
	else echo "Chromium is missing: install it, for example with apt-get install chromium"; test "$$CI" != true; fi

# pkg/internal/gates has the steps of these, and what each leaves out.
.PHONY: unit
unit: ## Test what is fast, in half a minute: the loop for working
	@go run ./pkg/internal/gates unit

.PHONY: test
test: ## Test with Go, Python 3 and make alone: units, the real Envoy, conformance, the demo; five minutes
	@echo "make test: about five minutes on two cores; up to ten the first time, when everything is compiled"
	@go run ./pkg/internal/gates test

.PHONY: test-all
test-all: ## Test everything: also race detector, fuzzing, providers, browser, manifests; half an hour; installs what it needs
	@echo "make test-all: about half an hour on two cores; see CONTRIBUTING for what is downloaded"
	@go run ./pkg/internal/gates all

.PHONY: check
check: $(STATICCHECK) $(SUMTYPE) vulnerabilities ## Formatting, vet, staticcheck, sealed types, tidy modules, known vulnerabilities
	@unformatted="$$(gofmt -l cmd pkg policies envoy examples)"; test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	go vet ./...
	cd envoy/validate && go vet ./... && go mod tidy -diff
	$(STATICCHECK) ./...
	$(SUMTYPE) -default-signifies-exhaustive=false ./...
	go mod tidy -diff
	go mod verify

# If the machine cannot reach the database, this says so and does not fail. GOVULNDB names
# another database, such as a copy in a file:// URL.
.PHONY: vulnerabilities
vulnerabilities: $(GOVULNCHECK) ## Look for known vulnerabilities that our code reaches, where their database can be reached
	@if out="$$($(GOVULNCHECK) $(GOVULNDB:%=-db %) ./... 2>&1)"; then echo "$$out" | tail -1; \
	elif grep -q 'fetching vulnerabilities' <<< "$$out"; then echo "left out: govulncheck, which cannot reach its database"; \
	else echo "$$out"; exit 1; fi

$(STATICCHECK):
	GOBIN=$(TOOLS)/bin go install honnef.co/go/tools/cmd/staticcheck@v0.8.2
	mv $(TOOLS)/bin/staticcheck $@

$(SUMTYPE):
	GOBIN=$(TOOLS)/bin go install github.com/alecthomas/go-check-sumtype/cmd/go-check-sumtype@v0.4.0
	mv $(TOOLS)/bin/go-check-sumtype $@

$(GOVULNCHECK):
	GOBIN=$(TOOLS)/bin go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
	mv $(TOOLS)/bin/govulncheck $@

# The go command sometimes reports its own deadline as a failure when the time of a
# target is up; it then names no failing input. Only that is forgiven.
.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (5s)
	@found=0; failed=0; for dir in $$(go list -f '{{if .TestGoFiles}}{{.Dir}}{{else if .XTestGoFiles}}{{.Dir}}{{end}}' ./...); do \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' $$dir/*_test.go | sed 's/func //'); do \
	    found=1; printf 'fuzz %s (%s): ' "$$target" "$$(basename $$dir)"; \
	    if out="$$(go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir 2>&1)"; then echo ok; \
	    elif grep -q 'context deadline exceeded' <<< "$$out" && ! grep -qE 'Failing input|seed#|panic|_test.go' <<< "$$out"; then echo "ok, the deadline of the go command"; \
	    else echo; echo "$$out"; failed=1; fi; \
	  done; done; test $$found = 1 && test $$failed = 0

.PHONY: bench
bench: build ## Measure what a Check costs, in units of a no-op server in the same run, in five minutes; dist/bench.json has the numbers
	@mkdir -p $(DIST)
	go run ./pkg/internal/bench -json $(DIST)/bench.json

.PHONY: bench-stages
bench-stages: ## Measure time and allocations of each stage, for benchstat
	go test -run '^$$' -bench . -benchmem -count 1 ./pkg/run/server ./pkg/trust/jwt ./pkg/engine/rego ./pkg/author/matrix

.PHONY: cover
cover: ## Test coverage by package
	go test -cover ./...

.PHONY: docs
docs: ## Regenerate the reference pages
	go test ./pkg/config ./pkg/run/telemetry ./pkg/policy ./pkg/author/proxy ./pkg/internal/golden -run TestReference -count=1 -args -update

.PHONY: pictures
pictures: browser ## Retake the pictures in docs/images
	go test ./pkg/author/playground -run TestBrowser -count=1 -args -update

.PHONY: soak
soak: ## A million calls, a million bent tokens, and twenty restarts of two replicas and a thousand bundles under load through the real Envoy
	STEPWARD_SOAK=50 go test -run 'TestNothingGrows|TestMutator' -count=1 -v ./pkg/run/server ./pkg/trust/jwt
	STEPWARD_SOAK=500 go test -run TestMemoryIsFlat -count=1 -v ./pkg/rollout/replay
	STEPWARD_RESTARTS=20 go test -run TestRollingRestarts -count=1 -v ./pkg/run/conformance
	STEPWARD_ACTIVATIONS=1000 go test -run TestBundleActivations -count=1 -v ./pkg/run/conformance

.PHONY: mutants
mutants: ## Plant each known bug in turn and see that a test turns red
	go run ./pkg/internal/mutants

.PHONY: clean
clean: ## Remove what was built; .tools stays
	rm -rf bin dist .coverage

# A release. Everything carries the commit's time and is built with the Go version that the
# Dockerfile names, so that anyone can make the same bytes.
# VERSION comes from the tag on HEAD; without a tag it names the commit: pkg/internal/release/version.
GIVEN     := $(patsubst v%,%,$(VERSION))
override VERSION = $(or $(GIVEN),$(shell pkg/internal/release/version))
COMMIT     = $(shell pkg/internal/release/version commit)
DATE       = $(shell pkg/internal/release/version date)
BUILD      = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.linkedVersion=$(VERSION) -X main.linkedCommit=$(COMMIT) -X main.linkedDate=$(DATE)'
DIST      ?= dist
LINUX     := linux-amd64 linux-arm64
PLATFORMS := $(LINUX) darwin-amd64 darwin-arm64
GO_IMAGE  := $(shell sed -n 's/^FROM golang:\([0-9.]*\).*/go\1/p' envoy/image/Dockerfile)
PINNED    := GOTOOLCHAIN=$(GO_IMAGE) GOFLAGS=-trimpath GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0 GOWORK=off
SBOM_TOOL := $(TOOLS)/bin/cyclonedx-gomod-1.10.0
RELEASE    = $(PINNED) go run -C pkg/internal/release . -root $(CURDIR) -version $(1) -commit $(COMMIT) -date $(DATE) -sbom-tool $(SBOM_TOOL) -out $(abspath $(DIST))

$(SBOM_TOOL):
	GOBIN=$(TOOLS)/bin go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
	mv $(TOOLS)/bin/cyclonedx-gomod $@

.PHONY: $(PLATFORMS)
$(PLATFORMS):
	GOOS=$(word 1,$(subst -, ,$@)) GOARCH=$(word 2,$(subst -, ,$@)) $(PINNED) $(BUILD) -o bin/release/$@/stepward ./cmd/stepward

.PHONY: tagged
tagged:
	@$(if $(GIVEN),,pkg/internal/release/version tagged)

.PHONY: release
release: tagged $(SBOM_TOOL) $(PLATFORMS) ## Make what a release page holds, in dist/, from the tag on HEAD or as VERSION=0.1.0
	rm -rf $(DIST) && mkdir -p $(DIST)
	$(PINNED) SOURCE_DATE_EPOCH=$(shell pkg/internal/release/version epoch) go -C envoy/validate/helm tool helm package $(CURDIR)/envoy/helm/stepward --version $(VERSION) --app-version $(VERSION) --destination $(abspath $(DIST))
	$(call RELEASE,$(VERSION)) -binaries $(CURDIR)/bin/release $(if $(GIVEN),,-tag)
	@ls -l $(DIST)

.PHONY: image
image: $(LINUX) ## Make the image of this source in dist/, without a Docker engine
	@mkdir -p $(DIST)
	$(call RELEASE,$(subst +,-,$(VERSION))) -binaries $(CURDIR)/bin/release -only image
	@echo "$(DIST)/stepward-$(subst +,-,$(VERSION))-oci"

.PHONY: push
push: image ## Push that image to a registry: IMAGE=registry.example.com/team/stepward
	@test -n "$(IMAGE)" || { echo "say where to: make push IMAGE=registry.example.com/team/stepward"; exit 1; }
	go -C pkg/internal/release tool crane push $(abspath $(DIST))/stepward-$(subst +,-,$(VERSION))-oci $(IMAGE):$(subst +,-,$(VERSION))

.PHONY: sbom
sbom: build $(SBOM_TOOL) ## Write dist/stepward.cdx.json, the bill of materials of bin/stepward
	@mkdir -p $(DIST)
	$(call RELEASE,$(subst +,-,$(VERSION))) -binaries $(CURDIR)/$(STEPWARD) -only sbom

.PHONY: test-release
test-release: ## Test the release: make one, run its image, build in every way
	cd pkg/internal/release && go vet ./... && go mod tidy -diff && go test -count=1 -timeout 30m ./...

# COLD=1 gives the second one an empty build cache, so it compiles everything again.
.PHONY: reproducible
reproducible: ## Make the release of HEAD twice, in two folders, and compare
	@a="$$(mktemp -d)"; b="$$(mktemp -d)"; trap 'rm -rf "$$a" "$$b"' EXIT; \
	git clone -q . "$$a/one"; git clone -q . "$$b/another"; \
	v="$$(test -n "$(GIVEN)" && echo "$(GIVEN)" || sed -n 's/^const newest = "\(.*\)"$$/\1/p' cmd/stepward/version.go)"; \
	$(MAKE) -C "$$a/one" release VERSION="$$v" TOOLS=$(TOOLS); \
	test -z "$(COLD)" || export GOCACHE="$$b/cache"; \
	$(MAKE) -C "$$b/another" release VERSION="$$v" TOOLS=$(TOOLS); \
	diff -r "$$a/one/dist" "$$b/another/dist" && echo "reproducible: $$(cat "$$a/one/dist/SHA256SUMS")"

# The main targets are demo and test. They need Go and root; everything else is downloaded
# and built here, at pinned versions, into a cache outside the checkout.

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stowage
TOOLS := $(CACHE)/tools

CONTAINERD   := v2.4.2
CONTAINERD17 := 1.7.35
CONTAINERD16 := 1.6.20
# The last of each other 2.x, for the matrix.
CONTAINERDS  := 2.0.14 2.1.9 2.2.9 2.3.7
RUNC         := v1.5.2
CRANE        := v0.22.1
NFPM         := v2.45.2
CONFORMANCE  := v0.0.0-20260831232431-97274622c111
STATICCHECK  := v0.8.2
GOVULNCHECK  := v1.9.0
ACT          := v0.2.89
ACTIONLINT   := v1.7.12
GITLABLOCAL  := 4.64.0
KUBERNETES   := 1.37.2
HELM         := v3.22.0
KUSTOMIZE    := v5.8.1

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOFLAGS_BUILD := -trimpath -ldflags "-s -w -X stowage/cmd/internal/cli.Version=$(VERSION)"
PREFIX  ?= /usr/local
FUZZTIME ?= 20s
ROUNDS ?= 20
STATES ?= 100000
# The versions whose pull manager internal/pullrecords is compared with.
PULLMANAGERS := v1.35.4 v1.36.3 v1.37.2
# The kubelet of the end-to-end tests, beside the control plane of KUBERNETES.
KUBELET ?= v$(KUBERNETES)

export STOWAGE_TOOLS := $(TOOLS)

.PHONY: help build man release release-tools install demo recording check test e2e integration lint bench matrix matrix-ci soak pullmanager microbench fuzz clean tools servers

help: ## list the targets
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

build: ## build static bundle and load into bin/
	CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o bin/ ./cmd/bundle ./cmd/load

man: ## write the man pages and completions into bin/doc
	rm -rf bin/doc && go run ./internal/release -only man -version $(VERSION) -o bin/doc

install: build man ## install bundle and load into $(PREFIX)/bin, and their man pages
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 bin/bundle bin/load $(DESTDIR)$(PREFIX)/bin/
	install -m 644 bin/doc/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/

release: release-tools ## make archives, packages and images into dist/; VERSION=v1.2.3
	go run ./internal/release -version $(VERSION) -o dist -nfpm $(TOOLS)/nfpm \
	  -busybox $(TOOLS)/release/bin/busybox -certificates $(TOOLS)/release/usr/share/ca-certificates

# nfpm makes the packages. The shell and the certificates of the images are Debian's, unpacked
# but not installed.
release-tools: $(TOOLS)/.nfpm-$(NFPM)
	@[ -d $(TOOLS)/release ] || { command -v apt-get >/dev/null || exit 0; \
	  rm -rf $(TOOLS)/debs-release && mkdir -p $(TOOLS)/debs-release && cd $(TOOLS)/debs-release && apt-get update -qq && \
	  apt-get download -qq busybox-static ca-certificates rpm rpm-common librpm9 librpmbuild9 librpmio9 librpmsign9 libpopt0 libelf1 liblua5.3-0 libsqlite3-0 && \
	  for deb in *.deb; do dpkg -x $$deb x; done && mv x $(TOOLS)/release && rm -rf $(TOOLS)/debs-release; }

$(TOOLS)/.nfpm-$(NFPM):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.nfpm-*
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM)
	@touch $@

demo: build tools ## bundle and load examples/calico.yaml with a registry that requires a login and a real containerd
	go run ./internal/demo --bin bin --manifest examples/calico.yaml

recording: build tools ## draw the demo's output as docs/demo.svg
	go run ./internal/demo --bin bin --manifest examples/calico.yaml > bin/demo.txt
	go run ./internal/recording < bin/demo.txt > docs/demo.svg

check: ## build, vet and run the quick tests: about a minute, no root, nothing fetched
	go build ./... && go vet ./...
	go test -short ./internal/borders ./internal/fsutil ./internal/iox ./internal/manifest ./internal/need ./internal/redact \
	  ./pkg/scan ./pkg/pull/account ./pkg/pull/hosts ./cmd/internal/...

test: build tools servers skopeo $(TOOLS)/.conformance-$(CONFORMANCE) ## run all tests of this machine
	test/run

e2e: tools cluster $(TOOLS)/kubernetes-$(KUBELET:v%=%)/kubelet $(TOOLS)/runc-seccomp ## run loaded images with a real cluster without a network; KUBELET=v1.35.4 uses another kubelet
	cd test && STOWAGE_KUBELET=$(KUBELET:v%=%) go test -count=1 -v -timeout 20m ./e2e/...

# The programs of others that test/integration runs. Each part adds its own here.
INTEGRATION :=
INTEGRATION += $(TOOLS)/.act-$(ACT) $(TOOLS)/.actionlint-$(ACTIONLINT) shellcheck gitlab-ci-local
INTEGRATION += shells release-tools

INTEGRATION += $(TOOLS)/.helm-$(HELM) $(TOOLS)/.kustomize-$(KUSTOMIZE)
INTEGRATION += engines

.PHONY: integration-tools
integration-tools: $(INTEGRATION)

integration: build tools integration-tools ## run the programs beside the CI systems, chart tools and package managers that people use
	cd test && go test -count=1 -timeout 15m ./integration/...

lint: $(TOOLS)/.staticcheck-$(STATICCHECK) $(TOOLS)/.govulncheck-$(GOVULNCHECK) ## run gofmt -s, go vet, staticcheck, govulncheck and go mod tidy -diff
	@unformatted=$$(gofmt -s -l $$(git ls-files '*.go')); \
	  [ -z "$$unformatted" ] || { echo "gofmt -s would change: $$unformatted"; exit 1; }
	@words=$$(git grep -nwE 'gives|whoever|anew|in vain|takes up' -- '*.go'); \
	  [ -z "$$words" ] || { echo "CONTRIBUTING.md asks for plain English:"; echo "$$words"; exit 1; }
	go vet ./...
	GOOS=darwin go vet ./cmd/bundle $$(go list ./pkg/... | grep -v /pkg/node)
	GOOS=windows go vet ./cmd/bundle $$(go list ./pkg/... | grep -v /pkg/node)
	$(TOOLS)/staticcheck ./...
	go mod tidy -diff
	cd test && go vet ./... && $(TOOLS)/staticcheck ./... && go mod tidy -diff
	@$(TOOLS)/govulncheck ./... || { code=$$?; \
	  if [ $$code -eq 3 ]; then exit 3; fi; echo "govulncheck: skipped: cannot reach its database (exit $$code)"; }

bench: build tools skopeo ## compare with crane, skopeo, regctl, oras and ctr
	go run ./bench bundle -bin bin
	go run ./bench load -bin bin

matrix: build tools servers skopeo $(CONTAINERDS:%=$(TOOLS)/containerd-%/containerd) engines ## test every containerd and every reader, write docs/compatibility.md
	cd test && go run ./matrix --bin ../bin -o ../docs/compatibility.md

matrix-ci: build tools servers skopeo ## run the part of the matrix that every change must pass
	cd test && go run ./matrix --bin ../bin --versions $(CONTAINERD16),$(CONTAINERD17),$(CONTAINERD:v%=%) \
	  --readers ctr,"skopeo docker-archive:","crane push of the layout","crane validate of one image" --writers=false

soak: build tools ## run ROUNDS rounds with random faults; SEED=N repeats a round
	cd test && go run ./soak --bin ../bin --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

pullmanager: ## compare the rule on the kubelet's pull records with the kubelet's own in STATES random states; SEED=N
	@for version in $(PULLMANAGERS); do \
	  echo "Kubernetes $$version" && test/pullmanager/run $$version -states $(STATES) $(if $(SEED),-seed $(SEED)) || exit 1; \
	done

microbench: ## run the benchmarks of the packages
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## run every fuzz target for FUZZTIME
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p || exit 1; \
	  done; \
	done

clean: ## remove bin/, keep the cache
	rm -rf bin

tools: $(TOOLS)/.containerd-$(CONTAINERD) $(TOOLS)/.runc-$(RUNC) $(TOOLS)/.crane-$(CRANE)

# Older versions of containerd, for the tests of pkg/node. 1.6 is Debian's package, unpacked
# but not installed. Without apt-get, 1.6 is not tested and the test reports it.
servers: $(TOOLS)/containerd-$(CONTAINERD17)/containerd
	@[ -x $(TOOLS)/containerd-$(CONTAINERD16)/containerd ] || ! command -v apt-get >/dev/null || $(MAKE) --no-print-directory $(TOOLS)/containerd-$(CONTAINERD16)/containerd

$(TOOLS)/containerd-$(CONTAINERD17)/containerd $(CONTAINERDS:%=$(TOOLS)/containerd-%/containerd):
	test/build-containerd $(patsubst $(TOOLS)/containerd-%/containerd,%,$@) $(@D)

$(TOOLS)/containerd-$(CONTAINERD16)/containerd:
	@rm -rf $(TOOLS)/deb16 && mkdir -p $(TOOLS)/deb16 $(@D)
	apt-get update -qq
	cd $(TOOLS)/deb16 && apt-get download -qq containerd && dpkg -x containerd_*.deb x && \
	  cp x/usr/bin/containerd-shim-runc-v2 x/usr/bin/ctr x/usr/bin/containerd $(@D)/
	@rm -rf $(TOOLS)/deb16

# The name of the stamp file contains the version, so that a new version is built once.
$(TOOLS)/.containerd-$(CONTAINERD):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.containerd-*
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath \
	  github.com/containerd/containerd/v2/cmd/containerd@$(CONTAINERD) \
	  github.com/containerd/containerd/v2/cmd/ctr@$(CONTAINERD) \
	  github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@$(CONTAINERD)
	@touch $@

$(TOOLS)/.runc-$(RUNC):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.runc-*
	GOBIN=$(TOOLS) go install -trimpath github.com/opencontainers/runc@$(RUNC)
	@touch $@

$(TOOLS)/.crane-$(CRANE):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.crane-*
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath github.com/google/go-containerregistry/cmd/crane@$(CRANE)
	@touch $@

# The conformance program of the distribution specification, for load serve.
$(TOOLS)/.conformance-$(CONFORMANCE):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.conformance-*
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath github.com/opencontainers/distribution-spec/conformance@$(CONFORMANCE)
	@touch $@

$(TOOLS)/.staticcheck-$(STATICCHECK):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.staticcheck-*
	GOBIN=$(TOOLS) go install -trimpath honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK)
	@touch $@

# helm and kustomize, for the charts of test/integration.
$(TOOLS)/.helm-$(HELM):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.helm-*
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath helm.sh/helm/v3/cmd/helm@$(HELM)
	@touch $@

$(TOOLS)/.kustomize-$(KUSTOMIZE):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.kustomize-*
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE)
	@touch $@

$(TOOLS)/.govulncheck-$(GOVULNCHECK):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.govulncheck-*
	GOBIN=$(TOOLS) go install -trimpath golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)
	@touch $@

$(TOOLS)/.act-$(ACT):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.act-*
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath github.com/nektos/act@$(ACT)
	@touch $@

$(TOOLS)/.actionlint-$(ACTIONLINT):
	@mkdir -p $(TOOLS) && rm -f $(TOOLS)/.actionlint-*
	CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT)
	@touch $@

# Debian's shellcheck, and its rsync for gitlab-ci-local, unpacked but not installed. Without
# apt-get or npm the tests report what is missing.
.PHONY: shellcheck gitlab-ci-local
shellcheck:
	@[ -x $(TOOLS)/shellcheck ] || { command -v apt-get >/dev/null || exit 0; \
	  rm -rf $(TOOLS)/deb-shellcheck && mkdir -p $(TOOLS)/deb-shellcheck && cd $(TOOLS)/deb-shellcheck && apt-get update -qq && \
	  apt-get download -qq shellcheck && dpkg -x shellcheck_*.deb x && cp x/usr/bin/shellcheck $(TOOLS)/ && rm -rf $(TOOLS)/deb-shellcheck; }

gitlab-ci-local:
	@[ -x $(TOOLS)/rsync/usr/bin/rsync ] || { command -v apt-get >/dev/null || exit 0; \
	  rm -rf $(TOOLS)/rsync $(TOOLS)/debs-rsync && mkdir -p $(TOOLS)/debs-rsync && cd $(TOOLS)/debs-rsync && apt-get update -qq && \
	  apt-get download -qq rsync libpopt0 && for deb in *.deb; do dpkg -x $$deb x; done && mv x $(TOOLS)/rsync && rm -rf $(TOOLS)/debs-rsync; }
	@[ -x $(TOOLS)/gitlab-ci-local-$(GITLABLOCAL)/node_modules/.bin/gitlab-ci-local ] || { command -v npm >/dev/null || exit 0; \
	  npm install --silent --no-audit --no-fund --prefix $(TOOLS)/gitlab-ci-local-$(GITLABLOCAL) gitlab-ci-local@$(GITLABLOCAL); }

# The control plane and its kubelet take about 35 CPU minutes on a busy machine, a kubelet alone 12. Each version is
# kept.
KUBERNETES_DIR := $(TOOLS)/kubernetes-$(KUBERNETES)

$(KUBERNETES_DIR)/kubelet:
	test/build-kubernetes $(KUBERNETES) $(@D) kubelet kube-apiserver kube-controller-manager kube-scheduler

$(TOOLS)/kubernetes-%/kubelet:
	test/build-kubernetes $* $(@D) kubelet

# Debian's etcd and CNI plugins, unpacked but not installed. Without apt-get the tests search
# PATH and the usual directory of CNI plugins, and report what is missing.
.PHONY: cluster
cluster: $(KUBERNETES_DIR)/kubelet
	@[ -x $(TOOLS)/cluster/usr/bin/etcd ] || { command -v apt-get >/dev/null || exit 0; \
	  rm -rf $(TOOLS)/cluster $(TOOLS)/debs-cluster && mkdir -p $(TOOLS)/debs-cluster && cd $(TOOLS)/debs-cluster && apt-get update -qq && \
	  apt-get download -qq etcd-server containernetworking-plugins && \
	  for deb in *.deb; do dpkg -x $$deb x; done && mv x $(TOOLS)/cluster && rm -rf $(TOOLS)/debs-cluster; }

# The kubelet requires a seccomp filter for every pod, but the runc above is built without
# libseccomp, because few machines have its headers. Debian's runc has it. Without apt-get
# the tests search PATH for such a runc and report if there is none.
$(TOOLS)/runc-seccomp:
	@command -v apt-get >/dev/null || { echo "runc with seccomp: no apt-get, using PATH"; exit 0; }; \
	  rm -rf $(TOOLS)/debrunc && mkdir -p $(TOOLS)/debrunc && cd $(TOOLS)/debrunc && \
	  apt-get update -qq && apt-get download -qq runc && dpkg -x runc_*.deb x && \
	  cp -L x/usr/sbin/runc $@ && rm -rf $(TOOLS)/debrunc

# skopeo cannot be installed with "go install", so it comes from the system.
.PHONY: skopeo
skopeo:
	@command -v skopeo >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends skopeo >/dev/null; \
	  else echo "skopeo: not installed, and cannot install it without root and apt-get: its tests will be skipped"; fi; }

# Debian's zsh, fish and mandoc, unpacked but not installed. fish looks for etc beside share.
.PHONY: shells
shells:
	@[ -x $(TOOLS)/shells/usr/bin/fish ] || { command -v apt-get >/dev/null || exit 0; \
	  rm -rf $(TOOLS)/shells $(TOOLS)/debs-shells && mkdir -p $(TOOLS)/debs-shells && cd $(TOOLS)/debs-shells && apt-get update -qq && \
	  apt-get download -qq zsh zsh-common fish fish-common libpcre2-32-0 mandoc && \
	  for deb in *.deb; do dpkg -x $$deb x; done && ln -s ../etc x/usr/etc && mv x $(TOOLS)/shells && rm -rf $(TOOLS)/debs-shells; }

# Debian's docker and podman, unpacked but not installed: they read bundles, and podman runs
# the nodes of test/integration/kind, with busybox in them.
.PHONY: engines
engines:
	@[ -x $(TOOLS)/engines/usr/bin/podman ] && [ -x $(TOOLS)/engines/bin/busybox ] || { command -v apt-get >/dev/null || exit 0; \
	  rm -rf $(TOOLS)/engines $(TOOLS)/debs && mkdir -p $(TOOLS)/debs && cd $(TOOLS)/debs && apt-get update -qq && \
	  apt-get download -qq docker.io podman conmon libsubid4 libdevmapper1.02.1 busybox-static && \
	  for deb in *.deb; do dpkg -x $$deb $(TOOLS)/engines; done && rm -rf $(TOOLS)/debs; }

# Everything a person types here. `make quickstart` shows the engine at work; `make test` proves it.
SWIFT ?= swift
PREFIX ?= /usr/local
RELEASE = -c release --static-swift-stdlib -Xswiftc -Osize
BUILD_PACKAGES = liburing-dev libisal-dev libzstd-dev libbz2-dev liblzma-dev libseccomp-dev libsqlite3-dev libpq-dev zlib1g-dev
TEST_PACKAGES = docker-compose curl busybox-static docker-registry skopeo iproute2 nftables e2fsprogs apache2-utils postgresql procps python3 python3-venv openssl zstd xz-utils bzip2 \
	pigz isal bind9-dnsutils bind9-host dnsmasq-base dnsperf chromium fonts-dejavu-core
# Clients, and an S3 server, that nobody here wrote, from PyPI; the tests find them there.
PYTHON_CLIENTS = docker==7.1.0 testcontainers==4.9.2 moto[server]==5.2.5
export DEBIAN_FRONTEND = noninteractive

.PHONY: deps build test quickstart bench-peers bench-names bench-rules bench-volumes bench-registry install lint clean

deps: ## The Debian packages that building and testing need, and clients for the tests.
	apt-get update -q
	apt-get install -y -q --no-install-recommends $(BUILD_PACKAGES) $(TEST_PACKAGES)
	[ -x .build/python/bin/python3 ] || /usr/bin/python3 -m venv .build/python
	.build/python/bin/pip install -q --disable-pip-version-check $(PYTHON_CLIENTS)

build: ## Release binaries in .build/release: docker, dockerd, docker-monitor, docker-tls, docker-registry.
	$(SWIFT) build $(RELEASE)

test: ## Every test, as root: real mounts, namespaces, registries.
	$(SWIFT) build
	$(SWIFT) build --build-tests
	scripts/test

quickstart: ## Build, pull a real image from a real registry, run it with a data volume.
	scripts/quickstart

bench-peers: ## Our engine beside Debian's docker.io, containerd, podman and crun, in one run.
	Benchmarks/peers/run

bench-names: ## The name server of containers beside dnsmasq.
	Benchmarks/names/run

bench-rules: ## What a published port and a network cost in packet rules, as their number grows.
	Benchmarks/rules/run

bench-volumes: ## Volumes cloned and exported beside cp and tar, fio on them beside the host.
	Benchmarks/volumes/run
	Benchmarks/volumes/fio

bench-registry: ## Our registry beside Debian's docker-registry, and nginx serving the same bytes.
	Benchmarks/registry/run

lint:
	$(SWIFT) format lint --strict -r Sources Tests Benchmarks/Benchmarks

install: build ## Into PREFIX, never over a docker that is there.
	install -d $(PREFIX)/bin $(PREFIX)/libexec/docker-swift
	install .build/release/docker $(PREFIX)/libexec/docker-swift/docker
	install .build/release/dockerd .build/release/docker-monitor .build/release/docker-tls \
		.build/release/docker-registry $(PREFIX)/libexec/docker-swift/
	@if [ -e $(PREFIX)/bin/docker ]; then echo "$(PREFIX)/bin/docker exists: run $(PREFIX)/libexec/docker-swift/docker"; \
	else ln -s ../libexec/docker-swift/docker $(PREFIX)/bin/docker; fi

clean:
	rm -rf .build

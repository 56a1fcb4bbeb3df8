# One image per target: docker build --target agent -t berth-agent:0.1.0 .
# Targets: agent, aggregator, loadgen, refmodel, scanner, cli. `make images` builds them all, with
# docker (23 or newer), podman or buildah.

ARG BUILD_IMAGE=docker.io/library/rust:1-bookworm
# A slim glibc base without a shell: NVML is opened with dlopen, which a static binary cannot do. Its
# glibc must not be older than the build image's; here both are Debian 12's.
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY agent agent
COPY aggregator aggregator
COPY cli cli
COPY examples examples
COPY loadgen loadgen
# No image needs the tests, but Cargo wants to see every package of the workspace.
COPY tests/kit/Cargo.toml tests/kit/Cargo.toml
COPY tests/scenarios/Cargo.toml tests/scenarios/Cargo.toml
# For whoever needs fewer of the images.
ARG PROGRAMS="berth berth-agent berth-aggregator berth-loadgen refmodel scanner"
# Symbols are enough for perf; line tables would only make the images larger.
ENV CARGO_PROFILE_RELEASE_DEBUG=false
# What was downloaded and compiled stays with the builder. Cargo goes by times, which say nothing of sources
# that come from several checkouts: what differs from the sources that were compiled last, for the same
# programs, is new, and all else is old.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=berth-build,sharing=locked,target=/build \
    mkdir -p tests/kit/src tests/scenarios/src /programs \
    && touch tests/kit/src/lib.rs tests/scenarios/src/lib.rs tests/scenarios/src/main.rs \
    && { [ "$(cat /build/programs)" = "$PROGRAMS" ] || rm -rf /build/compiled; } \
    && find . -exec touch -d 2000-01-01 {} + \
    && find . -type f ! -exec cmp -s {} /build/compiled/{} \; -exec touch {} \; -exec rm -f /build/compiled/{} \; \
    && cargo build --release --locked --workspace $(printf ' --bin %s' $PROGRAMS) --target-dir /build/target \
    && rm -rf /build/compiled && cp -r . /build/compiled && echo "$PROGRAMS" >/build/programs \
    && cd /build/target/release && cp $PROGRAMS /programs

FROM ${RUN_IMAGE} AS run
COPY LICENSE /LICENSE
# By number, so that the kubelet can see that it is not root.
USER 65532:65532

FROM run AS agent
COPY --from=build /programs/berth-agent /usr/local/bin/berth-agent
ENTRYPOINT ["/usr/local/bin/berth-agent"]

FROM run AS aggregator
COPY --from=build /programs/berth-aggregator /usr/local/bin/berth-aggregator
ENTRYPOINT ["/usr/local/bin/berth-aggregator"]

FROM run AS loadgen
COPY --from=build /programs/berth-loadgen /usr/local/bin/berth-loadgen
ENTRYPOINT ["/usr/local/bin/berth-loadgen"]

FROM run AS refmodel
COPY --from=build /programs/refmodel /usr/local/bin/refmodel
ENTRYPOINT ["/usr/local/bin/refmodel"]

FROM run AS scanner
COPY --from=build /programs/scanner /usr/local/bin/scanner
ENTRYPOINT ["/usr/local/bin/scanner"]

FROM run AS cli
COPY --from=build /programs/berth /usr/local/bin/berth
ENTRYPOINT ["/usr/local/bin/berth"]

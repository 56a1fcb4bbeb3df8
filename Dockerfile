# One image per target: docker build --target agent -t berth-agent:0.1.0 .
# Targets: agent, aggregator, loadgen, refmodel, scanner, cli. Plain syntax: any builder will do.

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
COPY tests/kit tests/kit
# Symbols are enough for perf; line tables would only make the images larger.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
RUN cargo build --release --locked --workspace --bins

FROM ${RUN_IMAGE} AS run
COPY LICENSE /LICENSE
# By number, so that the kubelet can see that it is not root.
USER 65532:65532

FROM run AS agent
COPY --from=build /src/target/release/berth-agent /usr/local/bin/berth-agent
ENTRYPOINT ["/usr/local/bin/berth-agent"]

FROM run AS aggregator
COPY --from=build /src/target/release/berth-aggregator /usr/local/bin/berth-aggregator
ENTRYPOINT ["/usr/local/bin/berth-aggregator"]

FROM run AS loadgen
COPY --from=build /src/target/release/berth-loadgen /usr/local/bin/berth-loadgen
ENTRYPOINT ["/usr/local/bin/berth-loadgen"]

FROM run AS refmodel
COPY --from=build /src/target/release/refmodel /usr/local/bin/refmodel
ENTRYPOINT ["/usr/local/bin/refmodel"]

FROM run AS scanner
COPY --from=build /src/target/release/scanner /usr/local/bin/scanner
ENTRYPOINT ["/usr/local/bin/scanner"]

FROM run AS cli
COPY --from=build /src/target/release/berth /usr/local/bin/berth
ENTRYPOINT ["/usr/local/bin/berth"]

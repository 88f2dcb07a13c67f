# syntax=docker/dockerfile:1
# From the root of the repository: docker build --file deploy/docker/data-plane.Dockerfile --tag weir-data-plane:0.1.0 .

FROM rust:1.95-slim AS build
# That of the image, in place of a download of what rust-toolchain.toml names.
ENV RUSTUP_TOOLCHAIN=1.95.0
# Luau is C++.
RUN apt-get update && apt-get install --yes --no-install-recommends g++
WORKDIR /weir
COPY Cargo.toml Cargo.lock ./
COPY proto proto
COPY control-plane control-plane
COPY data-plane data-plane
COPY deploy/standalone deploy/standalone
COPY tests tests
# crt-static: the program needs no other file, so that the image holds nothing else.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/weir/target,sharing=locked \
    cargo rustc --release --locked --package weir-data-plane --bin weir-data-plane -- -C target-feature=+crt-static \
    && cp target/release/weir-data-plane /weir-data-plane

FROM scratch
LABEL org.opencontainers.image.title="weir-data-plane" \
      org.opencontainers.image.description="The proxy of Weir, a load balancer for HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /weir-data-plane /weir-data-plane
USER 65532:65532
EXPOSE 8080 9900
ENTRYPOINT ["/weir-data-plane"]

# Images of Helios, one target for each program: `make docker-build`, or `docker build --target helios -t helios .`
#
# The binaries are static (glibc, crt-static): nothing but certificates comes with them. arm64 is compiled on amd64: emulation
# would take an hour. `--target` is given always, because crt-static must not reach build scripts and procedural macros.
FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS build
ARG TARGETARCH
RUN apt-get update && apt-get install -y --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
    gcc-x86-64-linux-gnu libc6-dev-amd64-cross && rm -rf /var/lib/apt/lists/*
WORKDIR /helios
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc CC_x86_64_unknown_linux_gnu=x86_64-linux-gnu-gcc
# The sources come without their repository: --build-arg HELIOS_COMMIT=$(git rev-parse --short=12 HEAD)
ARG HELIOS_COMMIT
RUN case "$TARGETARCH" in amd64) target=x86_64 ;; arm64) target=aarch64 ;; *) echo "no target for $TARGETARCH" >&2; exit 1 ;; esac; \
    target="$target-unknown-linux-gnu"; rustup target add "$target" \
    && cargo build --release --locked --target "$target" -p helios -p helios-runbooks --bin helios --bin helios-operator \
    && mkdir /out && cp "target/$target/release/helios" "target/$target/release/helios-operator" /out/

# Holds certificates of authorities, time zones and a user without rights (65532); no shell, no libraries.
FROM gcr.io/distroless/static-debian12:nonroot AS helios-operator
COPY --from=build /out/helios-operator /usr/local/bin/helios-operator
ENTRYPOINT ["/usr/local/bin/helios-operator"]
CMD ["run"]

# The last target is what `docker build .` makes.
FROM gcr.io/distroless/static-debian12:nonroot AS helios
COPY --from=build /out/helios /usr/local/bin/helios
ENTRYPOINT ["/usr/local/bin/helios"]
CMD ["run"]

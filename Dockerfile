# Images of Helios, one target for each program: `make docker-build`, or `docker build --target helios -t helios .`
#
# The binaries are static (musl): nothing but certificates comes with them. arm64 is compiled on amd64: emulation would take an
# hour. zig is C compiler and linker for both platforms, and brings musl.
FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS build
ARG TARGETARCH
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
COPY tools/static-requirements.txt /
RUN python3 -m venv /zig && /zig/bin/pip install --no-cache-dir -r /static-requirements.txt
ENV PATH="/zig/bin:$PATH"
WORKDIR /helios
COPY . .
# The sources come without their repository: --build-arg HELIOS_COMMIT=$(git rev-parse --short=12 HEAD)
ARG HELIOS_COMMIT
RUN case "$TARGETARCH" in amd64) target=x86_64 ;; arm64) target=aarch64 ;; *) echo "no target for $TARGETARCH" >&2; exit 1 ;; esac; \
    target="$target-unknown-linux-musl"; rustup target add "$target" \
    && cargo zigbuild --release --locked --target "$target" -p helios -p helios-runbooks --bin helios --bin helios-operator \
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

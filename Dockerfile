# The image that deploy/kubernetes/helios.yaml runs: `docker build -t helios:0.1.0 .`
FROM rust:1.95.0-trixie AS build
WORKDIR /helios
COPY . .
RUN cargo build --release --locked --bin helios

FROM debian:trixie-slim
# For https to ClickHouse, NetBox and other sources of names.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /helios/target/release/helios /usr/local/bin/helios
USER 10001:10001
ENTRYPOINT ["helios"]
CMD ["run"]

-- The rollups of schema version 1, as `helios migrate --dry-run` of the release 0.1 printed them for the database `t`.

-- create table flows_1m
CREATE TABLE IF NOT EXISTS t.flows_1m (
    received_at DateTime COMMENT 'Begin of the minute or hour.' CODEC(DoubleDelta, ZSTD(1)),
    exporter_name LowCardinality(String) COMMENT 'Name of the exporter; its address as text where no inventory knows it.',
    proto UInt8 COMMENT 'IP protocol number.',
    in_if_name LowCardinality(String) COMMENT 'Name of the incoming interface.',
    out_if_name LowCardinality(String) COMMENT 'Name of the outgoing interface.',
    src_as UInt32 COMMENT 'Source autonomous system.',
    dst_as UInt32 COMMENT 'Destination autonomous system.',
    src_country LowCardinality(String) COMMENT 'Country of the source, ISO 3166-1 alpha-2.',
    dst_country LowCardinality(String) COMMENT 'Country of the destination, ISO 3166-1 alpha-2.',
    flow_direction Enum8('unknown' = 0, 'ingress' = 1, 'egress' = 2) COMMENT 'Direction at the observation point.',
    bytes SimpleAggregateFunction(sum, UInt64) COMMENT 'Estimate: what was reported, times sampling_interval.',
    packets SimpleAggregateFunction(sum, UInt64) COMMENT 'Estimate: what was reported, times sampling_interval.',
    flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flow records.'
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(received_at)
ORDER BY (received_at, exporter_name, proto, in_if_name, out_if_name, src_as, dst_as, src_country, dst_country, flow_direction)
TTL toDateTime(received_at) + toIntervalDay(30)
SETTINGS ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1, default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 10000;

-- create table flows_1h
CREATE TABLE IF NOT EXISTS t.flows_1h (
    received_at DateTime COMMENT 'Begin of the minute or hour.' CODEC(DoubleDelta, ZSTD(1)),
    exporter_name LowCardinality(String) COMMENT 'Name of the exporter; its address as text where no inventory knows it.',
    proto UInt8 COMMENT 'IP protocol number.',
    in_if_name LowCardinality(String) COMMENT 'Name of the incoming interface.',
    out_if_name LowCardinality(String) COMMENT 'Name of the outgoing interface.',
    src_as UInt32 COMMENT 'Source autonomous system.',
    dst_as UInt32 COMMENT 'Destination autonomous system.',
    src_country LowCardinality(String) COMMENT 'Country of the source, ISO 3166-1 alpha-2.',
    dst_country LowCardinality(String) COMMENT 'Country of the destination, ISO 3166-1 alpha-2.',
    flow_direction Enum8('unknown' = 0, 'ingress' = 1, 'egress' = 2) COMMENT 'Direction at the observation point.',
    bytes SimpleAggregateFunction(sum, UInt64) COMMENT 'Estimate: what was reported, times sampling_interval.',
    packets SimpleAggregateFunction(sum, UInt64) COMMENT 'Estimate: what was reported, times sampling_interval.',
    flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flow records.'
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(received_at)
ORDER BY (received_at, exporter_name, proto, in_if_name, out_if_name, src_as, dst_as, src_country, dst_country, flow_direction)
TTL toDateTime(received_at) + toIntervalDay(90)
SETTINGS ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1, default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 10000;

-- create table talkers_1h
CREATE TABLE IF NOT EXISTS t.talkers_1h (
    received_at DateTime COMMENT 'Begin of the minute or hour.' CODEC(DoubleDelta, ZSTD(1)),
    exporter_name LowCardinality(String) COMMENT 'Name of the exporter; its address as text where no inventory knows it.',
    side Enum8('src' = 1, 'dst' = 2) COMMENT 'Whether the host sent or received the traffic.',
    host IPv6 COMMENT 'Address of the host.',
    bytes SimpleAggregateFunction(sum, UInt64) COMMENT 'Estimate: what was reported, times sampling_interval.',
    packets SimpleAggregateFunction(sum, UInt64) COMMENT 'Estimate: what was reported, times sampling_interval.',
    flows SimpleAggregateFunction(sum, UInt64) COMMENT 'Flow records.'
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(received_at)
ORDER BY (received_at, exporter_name, side, host)
TTL toDateTime(received_at) + toIntervalDay(90)
SETTINGS ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1, default_compression_codec = 'ZSTD(1)', non_replicated_deduplication_window = 10000;

-- create view flows_1m_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS t.flows_1m_mv
TO t.flows_1m
AS SELECT toStartOfMinute(f.received_at) AS received_at,
    f.exporter_name AS exporter_name,
    f.proto AS proto,
    f.in_if_name AS in_if_name,
    f.out_if_name AS out_if_name,
    f.src_as AS src_as,
    f.dst_as AS dst_as,
    f.src_country AS src_country,
    f.dst_country AS dst_country,
    f.flow_direction AS flow_direction,
    sum(f.bytes * greatest(f.sampling_interval, 1)) AS bytes,
    sum(f.packets * greatest(f.sampling_interval, 1)) AS packets,
    count() AS flows
FROM t.flows AS f
WHERE NOT (f.bytes = 0 AND f.packets = 0 AND (f.nat_event != 0 OR f.firewall_event != 0))
GROUP BY toStartOfMinute(f.received_at),
    f.exporter_name, f.proto, f.in_if_name, f.out_if_name, f.src_as, f.dst_as, f.src_country, f.dst_country, f.flow_direction;

-- create view flows_1h_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS t.flows_1h_mv
TO t.flows_1h
AS SELECT toStartOfHour(f.received_at) AS received_at,
    f.exporter_name AS exporter_name,
    f.proto AS proto,
    f.in_if_name AS in_if_name,
    f.out_if_name AS out_if_name,
    f.src_as AS src_as,
    f.dst_as AS dst_as,
    f.src_country AS src_country,
    f.dst_country AS dst_country,
    f.flow_direction AS flow_direction,
    sum(f.bytes) AS bytes,
    sum(f.packets) AS packets,
    sum(f.flows) AS flows
FROM t.flows_1m AS f
GROUP BY toStartOfHour(f.received_at),
    f.exporter_name, f.proto, f.in_if_name, f.out_if_name, f.src_as, f.dst_as, f.src_country, f.dst_country, f.flow_direction;

-- create view talkers_1h_mv
CREATE MATERIALIZED VIEW IF NOT EXISTS t.talkers_1h_mv
TO t.talkers_1h
AS SELECT toStartOfHour(f.received_at) AS received_at,
    f.exporter_name AS exporter_name,
    CAST(end.1, 'Enum8(\'src\' = 1, \'dst\' = 2)') AS side,
    end.2 AS host,
    sum(f.bytes * greatest(f.sampling_interval, 1)) AS bytes,
    sum(f.packets * greatest(f.sampling_interval, 1)) AS packets,
    count() AS flows
FROM t.flows AS f
ARRAY JOIN [(1, f.src_addr), (2, f.dst_addr)] AS end
WHERE NOT (f.bytes = 0 AND f.packets = 0 AND (f.nat_event != 0 OR f.firewall_event != 0))
GROUP BY toStartOfHour(f.received_at), f.exporter_name, end.1, end.2
ORDER BY bytes DESC
LIMIT 50 BY received_at, exporter_name, side
LIMIT 20000;

-- record schema version 1
INSERT INTO t.schema_migrations (version, name, applied_at, checksum) VALUES (1, 'flows_1m_mv', now64(3), 12559793149490049631), (1, 'flows_1h_mv', now64(3), 8193973579192936661), (1, 'talkers_1h_mv', now64(3), 7550579964513918811), (1, 'schema', now64(3), 0);

-- Audit entries of runbooks. A row that arrives twice is one entry: operator and executors hand an entry out again when the
-- writer before may have died.
CREATE TABLE IF NOT EXISTS helios.runbook_audit
(
    uid String,
    number Int64,
    time DateTime('UTC'),
    namespace LowCardinality(String),
    execution String,
    runbook LowCardinality(String),
    writer String,
    event LowCardinality(String),
    step String,
    device String,
    by String,
    message String,
    request String,
    answer String,
    previous String,
    hash String
)
ENGINE = ReplacingMergeTree
ORDER BY (uid, number, hash)
TTL time + INTERVAL 400 DAY;

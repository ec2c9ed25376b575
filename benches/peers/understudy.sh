#!/usr/bin/env bash
# This broker, alone on its store; the queue lies in the store that confirms only what is synced. PROGRAM=FILE (default: target/release/broker), SYNC_DELAY=TIME for a slower disk.
# Usage: understudy.sh protocol | version | start FOLDER PORT | stop FOLDER
set -euo pipefail
program=${PROGRAM:-$(dirname "$0")/../../target/release/broker}
case $1 in
protocol) echo amqp ;;
version) $program --version ;;
start)
    mkdir -p "$2"
    printf 'bench store=$sys.failsafe\n' >"$2/queues.conf"
    cat >"$2/server.conf" <<CONF
server = BENCH
listen = tcp://127.0.0.1:$3
store = $2/store
queues = queues.conf
${SYNC_DELAY:+debug_sync_delay = $SYNC_DELAY}
CONF
    ${PIN:-} "$program" -config "$2/server.conf" >"$2/log" 2>&1 &
    echo $! >"$2/pid"
    ;;
stop) kill "$(cat "$2/pid")" ;;
esac

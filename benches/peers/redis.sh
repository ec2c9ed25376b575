#!/usr/bin/env bash
# Redis streams with appendfsync always. Debian: apt-get install redis-server.
# Usage: redis.sh protocol | version | start FOLDER PORT | stop FOLDER
set -euo pipefail
case $1 in
protocol) echo redis ;;
version) ${PROGRAM:-redis-server} --version ;;
start)
    mkdir -p "$2"
    ${PIN:-} "${PROGRAM:-redis-server}" --bind 127.0.0.1 --port "$3" --dir "$2" --save "" --appendonly yes --appendfsync always \
        --auto-aof-rewrite-percentage 0 --daemonize no >"$2/log" 2>&1 &
    echo $! >"$2/pid"
    ;;
stop) kill "$(cat "$2/pid")" ;;
esac

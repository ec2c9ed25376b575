#!/usr/bin/env bash
# No broker: one durable write and one answer for each message (benches/src/bin/bare.rs), the limit for one message in flight.
# Usage: bare.sh protocol | version | start FOLDER PORT | stop FOLDER
set -euo pipefail
program=${PROGRAM:-$(dirname "$0")/../../target/release/bare}
case $1 in
protocol) echo bare ;;
version) echo "O_DIRECT and O_DSYNC" ;;
start)
    mkdir -p "$2"
    ${PIN:-} "$program" --listen "127.0.0.1:$3" --file "$2/journal" >"$2/log" 2>&1 &
    echo $! >"$2/pid"
    ;;
stop) kill "$(cat "$2/pid")" ;;
esac

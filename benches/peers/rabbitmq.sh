#!/usr/bin/env bash
# RabbitMQ over AMQP 1.0: a quorum queue on one node for what is durable, a transient classic queue for what is settled.
# Debian: apt-get install rabbitmq-server (which starts its service: stop it, or forbid that by policy-rc.d).
# Usage: rabbitmq.sh protocol | version | queue CASE | start FOLDER PORT | stop FOLDER
set -euo pipefail
server=/usr/lib/rabbitmq/bin/rabbitmq-server
case $1 in
protocol) echo amqp ;;
version) dpkg-query -W -f 'rabbitmq-server ${Version}\n' rabbitmq-server ;;
queue) case $2 in settled*) echo /amq/queue/transient ;; *) echo /amq/queue/bench ;; esac ;;
start)
    mkdir -p "$2/log"
    free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
    ERL_EPMD_PORT=$(free_port)
    echo "$ERL_EPMD_PORT" >"$2/epmd-port"
    echo '[rabbitmq_amqp1_0].' >"$2/plugins"
    cat >"$2/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$3
amqp1_0.default_user = guest
load_definitions = $2/definitions.json
CONF
    cat >"$2/definitions.json" <<'JSON'
{"vhosts": [{"name": "/"}],
 "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
 "permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
 "queues": [{"name": "bench", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}},
            {"name": "transient", "vhost": "/", "durable": false, "auto_delete": false, "arguments": {}}]}
JSON
    HOME=$2 ERL_EPMD_PORT=$ERL_EPMD_PORT ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=peer@localhost \
        RABBITMQ_NODE_PORT=$3 RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_DIST_PORT=$(free_port) \
        RABBITMQ_MNESIA_BASE=$2/data RABBITMQ_LOG_BASE=$2/log RABBITMQ_LOGS=$2/log/server.log \
        RABBITMQ_ENABLED_PLUGINS_FILE=$2/plugins RABBITMQ_PID_FILE=$2/beam-pid RABBITMQ_CONFIG_FILE=$2/rabbitmq \
        ${PIN:-} "$server" >"$2/log/out" 2>&1 &
    echo $! >"$2/starter"
    for _ in $(seq 120); do
        grep -q 'Server startup complete' "$2/log/server.log" 2>/dev/null && break
        kill -0 "$(cat "$2/starter")" 2>/dev/null || { cat "$2/log/out" >&2; exit 1; }
        sleep 0.5
    done
    cp "$2/beam-pid" "$2/pid"
    ;;
stop)
    kill "$(cat "$2/pid")"
    # The port mapper that it started, at a port of its own.
    ERL_EPMD_PORT=$(cat "$2/epmd-port") epmd -port "$(cat "$2/epmd-port")" -kill >/dev/null 2>&1 || true
    for _ in $(seq 40); do kill -0 "$(cat "$2/pid")" 2>/dev/null || break; sleep 0.25; done
    ;;
esac

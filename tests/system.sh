#!/bin/sh
# Debian packages that the tests use: a browser, a database server, the OpenMP runtime, a font, the box around foreign
# code, an ecFlow server, an XRootD server, a NATS server, an MQTT broker, Slurm, gfal2 and curl as clients of storage, and Node with its package manager for
# expressions in CWL documents and for an identity provider.
# Installed when we may; otherwise the tests that need them say what is missing.
set -eu
missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
ldconfig -p 2>/dev/null | grep -q libgomp.so.1 || missing="$missing libgomp1"
[ -d /usr/share/fonts/truetype/dejavu ] || missing="$missing fonts-dejavu-core"
command -v bwrap >/dev/null 2>&1 || missing="$missing bubblewrap"
command -v ecflow_server >/dev/null 2>&1 || missing="$missing ecflow-server"
command -v ecflow_client >/dev/null 2>&1 || missing="$missing ecflow-client"
command -v xrootd >/dev/null 2>&1 || missing="$missing xrootd-server xrootd-server-plugins"
ls /usr/lib/*/gfal2-plugins/libgfal_plugin_http.so >/dev/null 2>&1 || missing="$missing gfal2-plugin-http"
/usr/bin/python3 -c "import gfal2" >/dev/null 2>&1 || missing="$missing python3-gfal2"
command -v slurmctld >/dev/null 2>&1 || missing="$missing slurm-wlm"
command -v munged >/dev/null 2>&1 || missing="$missing munge"
command -v nats-server >/dev/null 2>&1 || missing="$missing nats-server"
command -v mosquitto >/dev/null 2>&1 || missing="$missing mosquitto"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing$missing ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Missing here (tests that need them are skipped):$missing"
fi

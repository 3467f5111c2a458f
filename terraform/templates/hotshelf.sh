#!/bin/sh
# hotshelf load DIR, hotshelf warm, ...: a command on the server's database, as
# its user, within bounds that leave the server its memory. Run it as root.
set -eu
[ $# -gt 0 ] || { echo "usage: hotshelf load|warm|sample ... (hotshelf load --help says more)" >&2; exit 2; }
program=/opt/hotshelf/bin/$1
shift
exec systemd-run --quiet --collect --pipe --wait --property=User=hotshelf --property=Group=hotshelf \
	--property=EnvironmentFile=/etc/hotshelf/hotshelf.env --property=EnvironmentFile=/run/hotshelf/secrets.env \
	--property=WorkingDirectory=/var/lib/hotshelf --property=MemoryMax=192M "$program" "$@"

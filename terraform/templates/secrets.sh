#!/bin/sh
# Writes the secrets for systemd, which reads them as root and hands them to the
# server. /run is memory.
. /opt/hotshelf/common.sh
umask 077
: >/run/hotshelf/secrets.new
%{ for name, parameter in SECRETS ~}
value=$(again secret "${parameter}")
echo "${name}='$value'" >>/run/hotshelf/secrets.new
%{ endfor ~}
mv /run/hotshelf/secrets.new /run/hotshelf/secrets.env

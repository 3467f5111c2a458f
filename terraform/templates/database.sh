#!/bin/sh
# Sets PostgreSQL up on the volume, or takes over what is there.
. /opt/hotshelf/common.sh

# The volume is attached after the instance has started. It keeps its files
# when another instance takes it over, so their owner has the same number there.
until [ -b /dev/xvdf ]; do sleep 1; done
blkid /dev/xvdf >/dev/null || mkfs.ext4 -q -L hotshelf /dev/xvdf
mkdir -p /var/lib/hotshelf-database
grep -q /var/lib/hotshelf-database /etc/fstab ||
	echo '/dev/xvdf /var/lib/hotshelf-database ext4 defaults,noatime,nofail 0 2' >>/etc/fstab
mountpoint -q /var/lib/hotshelf-database || mount /var/lib/hotshelf-database
groupadd --system --gid 870 postgres
useradd --system --uid 870 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres

# Debian's own cluster would be on the wrong disk.
mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/hotshelf.conf
install_packages ca-certificates curl awscli postgresql-15
[ -x /usr/bin/amazon-ssm-agent ] || install_agent

data=/var/lib/hotshelf-database/15
if [ ! -s $data/PG_VERSION ]; then
	install -d -o postgres -g postgres -m 0700 $data
	runuser -u postgres -- /usr/lib/postgresql/15/bin/initdb -D $data --encoding=UTF8 --locale=C.UTF-8 --auth=peer >/dev/null
fi
systemctl daemon-reload
systemctl enable --now hotshelf-database

sql() { runuser -u postgres -- psql -qAtX -v ON_ERROR_STOP=1 -h /run/postgresql "$@"; }
[ -n "$(sql -c "select 1 from pg_roles where rolname = 'hotshelf'")" ] || sql -c 'create role hotshelf login'
[ -n "$(sql -c "select 1 from pg_database where datname = 'hotshelf'")" ] || sql -c 'create database hotshelf owner hotshelf'
if [ -n "${PASSWORD_PARAMETER}" ]; then
	password=$(again secret "${PASSWORD_PARAMETER}")
	# On standard input: a command line is for all to see.
	echo "alter role hotshelf password '$password'" | sql
fi

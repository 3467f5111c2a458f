#!/bin/sh
# Installs the archive, when it is the one that was named, and starts the server.
. /opt/hotshelf/common.sh

install_packages ca-certificates curl awscli
[ -x /usr/bin/amazon-ssm-agent ] || install_agent

archive=/opt/hotshelf/archive.tar.gz
case "${ARTIFACT}" in
s3://*) again aws s3 cp --quiet "${ARTIFACT}" $archive ;;
*) again curl -fsSLo $archive "${ARTIFACT}" ;;
esac
echo "${ARTIFACT_SHA256}  $archive" | sha256sum --check --quiet
tar -xzf $archive -C /opt/hotshelf --no-same-owner

id hotshelf >/dev/null 2>&1 || useradd --system --user-group --home-dir /var/lib/hotshelf --shell /usr/sbin/nologin hotshelf
install -d -o hotshelf -g hotshelf /var/lib/hotshelf
systemctl daemon-reload
systemctl enable --now hotshelf

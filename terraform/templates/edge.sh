#!/bin/sh
# nginx in front of the servers.
. /opt/hotshelf/common.sh

install_packages ca-certificates curl nginx-light
[ -x /usr/bin/amazon-ssm-agent ] || install_agent
install -m 0644 /opt/hotshelf/nginx.conf /etc/nginx/nginx.conf
install -m 0644 /opt/hotshelf/hotshelf.conf /etc/nginx/conf.d/hotshelf.conf
nginx -t
systemctl restart nginx

# Read by the other scripts.
set -eu
export DEBIAN_FRONTEND=noninteractive AWS_DEFAULT_REGION=${REGION}

# again COMMAND... runs a command until it succeeds: what an instance needs at
# its first start may come a little later than the instance.
again() {
	until "$@"; do
		echo "again in 5 s: $1" >&2
		sleep 5
	done
}

install_packages() {
	again apt-get update -q
	again apt-get install -q -y --no-install-recommends "$@"
}

# secret PARAMETER prints a secret.
secret() {
	aws ssm get-parameter --name "$1" --with-decryption --query Parameter.Value --output text
}

# The Systems Manager's agent gives people a shell, without a port or a key.
install_agent() {
	again curl -fsSLo /opt/hotshelf/agent.deb \
		"https://s3.${REGION}.amazonaws.com/amazon-ssm-${REGION}/latest/debian_amd64/amazon-ssm-agent.deb"
	dpkg -i /opt/hotshelf/agent.deb
}

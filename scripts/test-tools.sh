#!/bin/sh
# Installs what the tests drive when it is missing and this user may install it.
# A tool that stays missing is named; the tests that need it then say so too.
set -eu

missing=""
want() { # want PACKAGE COMMAND…: one of the commands, or a file, must be there
	package=$1
	shift
	for c in "$@"; do
		if command -v "$c" >/dev/null 2>&1 || ls $c >/dev/null 2>&1; then
			return 0
		fi
	done
	missing="$missing $package"
}

want git git
want git-lfs git-lfs
want nodejs node nodejs
want npm npm
want curl curl
want postgresql postgres '/usr/lib/postgresql/*/bin/postgres'
want chromium chromium chromium-browser google-chrome
want podman podman
want runc runc crun
want pgbouncer pgbouncer
want strace strace
want sqlite3 sqlite3
want busybox-static busybox

if [ -z "$missing" ]; then
	:
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing for the tests:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null || echo "could not install:$missing"
else
	echo "missing for some tests:$missing (install them with the system's package manager)"
fi

# Debian's aws command, of another generation than pip's, beside it: it is unpacked, not
# installed, so that it takes no command's place.
older=/usr/local/lib/awscli-debian
if [ ! -x "$older/usr/bin/aws" ] && [ "$(id -u)" = 0 ] && [ -x /usr/bin/python3 ] && apt-cache policy awscli 2>/dev/null | grep -q 'Candidate: 2'; then
	echo "unpacking Debian's aws command for the tests"
	packages="awscli python3-awscrt python3-cffi-backend python3-chardet python3-colorama python3-cryptography python3-dateutil python3-distro python3-docutils python3-jmespath
		python3-prompt-toolkit python3-pyasn1 python3-roman python3-ruamel.yaml python3-ruamel.yaml.clib python3-six python3-urllib3 python3-wcwidth"
	folder=$(mktemp -d)
	if (cd "$folder" && apt-get download -qq $packages 2>/dev/null && for file in *.deb; do dpkg -x "$file" root || exit 1; done); then
		mkdir -p "${older%/*}" && mv "$folder/root" "$older"
	else
		echo "could not unpack Debian's aws command"
	fi
	rm -rf "$folder"
fi

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

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing for the tests:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null || echo "could not install:$missing"
else
	echo "missing for some tests:$missing (install them with the system's package manager)"
fi

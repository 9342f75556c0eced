#!/bin/sh
# Makes the image: image.sh [BINARY [TAG]]. The context is a folder with the
# binary, certificates and nothing else, so that no base image is needed.
set -eu
cd "$(dirname "$0")/.."

binary=${1:-bin/showrunner}
tag=${2:-showrunner}
engine=${ENGINE:-$(command -v podman || command -v docker || true)}
[ -n "$engine" ] || { echo "neither podman nor docker is installed" >&2; exit 1; }
if [ -z "${CERTIFICATES:-}" ]; then
	for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
		[ ! -f "$file" ] || { CERTIFICATES=$file; break; }
	done
fi
[ -n "${CERTIFICATES:-}" ] || { echo "no certificates found; name the file in CERTIFICATES" >&2; exit 1; }

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/data" "$context/tmp" "$context/etc/ssl/certs"
chmod 1777 "$context/tmp"
chmod 700 "$context/data"
cp "$binary" "$context/showrunner"
cp "$CERTIFICATES" "$context/etc/ssl/certs/ca-certificates.crt"
cp Dockerfile "$context/Dockerfile"
"$engine" build --quiet --tag "$tag" --file "$context/Dockerfile" "$context"

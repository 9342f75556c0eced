# The image of one binary and nothing else: no shell, no package, no base image.
# `make image` builds it (scripts/image.sh makes the context).
#
#   podman run -p 7070:7070 -p 8080:8080 -v showrunner:/data showrunner
#   podman exec CONTAINER /showrunner open
#
# What an image without a shell and without git cannot do is in docs/install.md.
FROM scratch
COPY --chown=65532:65532 data /data
COPY tmp /tmp
COPY etc /etc
COPY showrunner /showrunner
# Not root. Where git and builds keep what is theirs, and where temporary files go.
USER 65532:65532
ENV HOME=/data SHOWRUNNER_DATA=/data TMPDIR=/tmp
VOLUME /data
EXPOSE 7070 8080
# In a container, loopback would be reachable by nobody.
ENTRYPOINT ["/showrunner"]
CMD ["up", "--listen", "0.0.0.0:7070", "--edge", "0.0.0.0:8080"]
STOPSIGNAL SIGTERM

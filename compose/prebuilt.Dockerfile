# The image of ./Dockerfile with a binary that is there already, from a folder that holds `fleetcast` and an empty `data`. A binary that needs libraries needs a
# BASE that has them.
#
#   docker build -f compose/prebuilt.Dockerfile -t fleetcast FOLDER
ARG BASE=scratch

FROM ${BASE}
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/fleetcast"]
COPY fleetcast /usr/local/bin/fleetcast
COPY --chown=65532:65532 data /data
WORKDIR /data

# The program alone on distroless: no shell, no package manager, no root.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) -t api-server-proxy .
#
# podman and buildah build it as well. What it fetches: the two base images, and what `deno compile`
# puts in front of the program, from Deno's own site (none of it where DENORT_BIN is set in the base
# image). Everything else is in this folder.
ARG DENO_VERSION=2.9.6

FROM docker.io/denoland/deno:${DENO_VERSION} AS build
WORKDIR /src
# A layer of its own: a change of the sources does not fetch the runtime again.
RUN echo 'export {};' > empty.ts && deno compile --output empty empty.ts && rm empty empty.ts
COPY deno.json main.ts ./
COPY std std
COPY lib lib
ARG COMMIT=unknown
# Under Liqo's name too, for its chart starts /usr/bin/proxy.
RUN deno task compile && ln -s api-server-proxy dist/proxy

FROM gcr.io/distroless/cc-debian12:nonroot
ARG DENO_VERSION
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="api-server-proxy" \
  org.opencontainers.image.description="HTTP CONNECT proxy in front of a Kubernetes API server" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${COMMIT}" \
  org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=build /src/dist/ /usr/bin/
# A number, so that the kubelet can see that it is not root.
USER 65532:65532
EXPOSE 8118 8119
ENTRYPOINT ["/usr/bin/api-server-proxy"]

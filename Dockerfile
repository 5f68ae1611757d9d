# The program alone on distroless: no shell, no package manager, no root.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) -t api-server-proxy .
#   docker buildx build --platform linux/amd64,linux/arm64 --push …      both architectures in one image
#
# podman and buildah build it as well. The build runs on this machine's own processor, whatever the
# image is for: `deno compile` puts the program behind a runtime for the other one. What it fetches:
# the two base images, and that runtime from Deno's own site (not where DENORT_BIN is set in the base
# image). Everything else is in this folder.
ARG DENO_VERSION=2.9.6

FROM --platform=$BUILDPLATFORM docker.io/denoland/deno:${DENO_VERSION} AS build
ARG TARGETARCH
WORKDIR /src
COPY deno.json ./
COPY std std
COPY release release
# A layer of its own: a change of the sources does not fetch the runtime again.
RUN deno task denort --arch=$TARGETARCH
COPY main.ts ./
COPY lib lib
ARG COMMIT=unknown
# Under Liqo's name too, for its chart starts /usr/bin/proxy.
RUN deno task compile --arch=$TARGETARCH && mkdir bin && \
  mv dist/api-server-proxy-$TARGETARCH bin/api-server-proxy && ln -s api-server-proxy bin/proxy

FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.2.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="api-server-proxy" \
  org.opencontainers.image.description="HTTP CONNECT proxy in front of a Kubernetes API server" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${COMMIT}" \
  org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=build /src/bin/ /usr/bin/
# A number, so that the kubelet can see that it is not root.
USER 65532:65532
EXPOSE 8118 8119
ENTRYPOINT ["/usr/bin/api-server-proxy"]

# SPDX-License-Identifier: Apache-2.0
# A static binary and nothing else: docker build -t oom-exporter .
# Cross-build: --platform linux/amd64, arm64, arm/v7, ppc64le or s390x.
FROM --platform=${BUILDPLATFORM} golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH
ARG TARGETVARIANT
ARG VERSION=unknown
ARG REVISION=unknown
ARG BRANCH=unknown
ARG BUILDDATE=unknown
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} GOARM=${TARGETVARIANT#v} go build -trimpath -o /oom_exporter \
    -ldflags "-s -w \
      -X github.com/prometheus/common/version.Version=${VERSION} \
      -X github.com/prometheus/common/version.Revision=${REVISION} \
      -X github.com/prometheus/common/version.Branch=${BRANCH} \
      -X github.com/prometheus/common/version.BuildDate=${BUILDDATE}" \
    ./cmd/oom_exporter

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="oom_exporter" \
      org.opencontainers.image.description="Which container is about to be OOM-killed, who is next, and who was killed" \
      org.opencontainers.image.source="https://github.com/oom-exporter/oom_exporter" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /oom_exporter /oom_exporter
COPY LICENSE /LICENSE
USER 65534:65534
EXPOSE 10137
ENTRYPOINT ["/oom_exporter"]

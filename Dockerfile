# syntax=docker/dockerfile:1

# All commands as static programs, and nothing else: no shell, no package, no
# user but a number. Build with Docker's BuildKit:
#
#   docker build -t hotshelf .

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/bin/ ./cmd/...
# What a program expects of a system: the authorities that sign a managed
# database's certificate, a place for temporary files, and directories that
# volumes take their owner from.
RUN mkdir -p /out/etc/ssl/certs /out/tmp /out/catalogue /out/reports && \
    cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ && \
    chmod 1777 /out/tmp && chown 65532:65532 /out/catalogue /out/reports

FROM scratch
LABEL org.opencontainers.image.title="hotshelf" \
      org.opencontainers.image.description="A product-catalogue API that answers every read from a JSON blob built ahead of time" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/hotshelf/hotshelf"
COPY --from=build /out/ /
ENV PATH=/bin
# What load writes without being told where.
WORKDIR /reports
USER 65532:65532
EXPOSE 8080
# The server listens on all addresses of its container, and for its figures on
# loopback; --check asks it there, so nothing but the program is needed.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD ["server", "--check"]
CMD ["server"]

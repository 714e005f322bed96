# The binary alone, as nobody: serve needs a PostgreSQL elsewhere (DATABASE_URL), and no program of the system.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/sluice ./cmd/sluice \
	&& mkdir -p /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/sluice /usr/local/bin/sluice
# A volume mounted here takes over the folder's owner, so that the keyset can be written.
COPY --from=build --chown=nonroot:nonroot /out/data /data
USER nonroot:nonroot
ENV SLUICE_KEYSET=/data/keyset.json
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/sluice"]
CMD ["serve", "--listen", "0.0.0.0:8080"]

// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// defaultPort is where a Kohort server listens unless told otherwise.
const defaultPort = "50051"

// endpoint is where a client connects, and whether in the clear.
type endpoint struct {
	target string
	secure bool
}

// parseTarget completes the target, and decides on TLS: always, unless the host is
// this machine or plaintext is asked for.
func parseTarget(target string, secure, plaintext bool) (endpoint, error) {
	const example = "host:port, such as localhost:" + defaultPort
	if secure && plaintext {
		return endpoint{}, wrongUse("WithTLS and WithPlaintext contradict each other")
	}
	if strings.TrimSpace(target) == "" {
		return endpoint{}, wrongUse("the target is empty; it is %s", example)
	}
	for _, scheme := range []string{"http://", "https://", "grpc://", "grpcs://"} {
		if strings.HasPrefix(target, scheme) {
			return endpoint{}, wrongUse("the target is %s, not a URL", example)
		}
	}
	if strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:") {
		return endpoint{target, secure}, nil
	}
	prefix, address := splitScheme(target)
	host, port := splitHost(address)
	if port == "" {
		port = defaultPort
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || host == "" {
		return endpoint{}, wrongUse("the target is %s, not %s", example, target)
	}
	shown := host
	if strings.Contains(host, ":") {
		shown = "[" + host + "]"
	}
	return endpoint{prefix + shown + ":" + port, secure || (!plaintext && !isLoopback(host))}, nil
}

// splitScheme parts the scheme of a grpc target, with its authority, from the address.
func splitScheme(target string) (prefix, address string) {
	if scheme, rest, found := strings.Cut(target, "://"); found {
		authority, address, _ := strings.Cut(rest, "/")
		return scheme + "://" + authority + "/", address
	}
	for _, scheme := range []string{"dns:", "passthrough:"} {
		if rest, found := strings.CutPrefix(target, scheme); found {
			return scheme, rest
		}
	}
	return "", target
}

func splitHost(address string) (host, port string) {
	if inner, found := strings.CutPrefix(address, "["); found {
		host, rest, _ := strings.Cut(inner, "]")
		return host, strings.TrimPrefix(rest, ":")
	}
	if strings.Count(address, ":") > 1 {
		return address, ""
	}
	host, port, _ = strings.Cut(address, ":")
	return host, port
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// credentials reads the files of options, so that what is wrong with them is told
// before any handshake.
func (e endpoint) credentials(options *TLS) (credentials.TransportCredentials, error) {
	if !e.secure {
		return insecure.NewCredentials(), nil
	}
	if options == nil {
		options = &TLS{}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: options.ServerName}
	if options.CAFile != "" {
		pem, err := os.ReadFile(options.CAFile)
		if err != nil {
			return nil, wrongUse("TLS: CAFile: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, wrongUse("TLS: CAFile holds no certificate in PEM")
		}
	}
	if options.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(options.CertFile, options.KeyFile)
		if key, _ := os.ReadFile(options.KeyFile); err != nil && bytes.Contains(key, []byte("ENCRYPTED")) {
			return nil, wrongUse("TLS: KeyFile has a password: openssl pkcs8 -topk8 -nocrypt makes one without")
		}
		if err != nil {
			return nil, wrongUse("TLS: CertFile and KeyFile: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

// bearer sends a token with each call. Whether it may travel in the clear was
// decided when the client was made.
type bearer func(context.Context) (string, error)

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b(ctx)
	if ctx.Err() != nil {
		// The call ended first: grpc would call the source's error UNAUTHENTICATED.
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if err != nil {
		return nil, err
	}
	// Whoever reads a file has its line break, too.
	if token = strings.TrimSpace(token); token == "" {
		return nil, nil
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token holds a character that no bearer token has")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (b bearer) RequireTransportSecurity() bool { return false }

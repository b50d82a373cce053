// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// causes are what a person should check, by what gRPC's text holds; the first that
// fits counts. {} is the target.
var causes = []struct {
	signs []string
	hint  string
}{
	{
		[]string{"has expired or is not yet valid"},
		"The server's certificate has expired or is not valid yet: renew it on the server, and compare the clocks.",
	},
	{
		[]string{"certificate signed by unknown authority", "certificate is not trusted"},
		"The server's certificate is signed by an authority that is not trusted here: give the authority's " +
			"certificate as TLS.CAFile; of a self-signed one, the certificate itself.",
	},
	{
		[]string{"x509: certificate is valid for", "x509: cannot validate certificate for", "x509: certificate is not valid for"},
		"The server's certificate is for another name: connect by the name it bears, or give it as TLS.ServerName.",
	},
	{
		[]string{"tls: certificate required"},
		"The server asks for a client certificate: give it as TLS.CertFile and TLS.KeyFile.",
	},
	{
		[]string{"tls: unknown certificate authority", "tls: bad certificate", "tls: expired certificate"},
		"The server refuses this client certificate: TLS.CertFile must come from an authority that it trusts, and be valid now.",
	},
	{
		[]string{"first record does not look like a TLS handshake"},
		"The server speaks plaintext and this client TLS: pass WithPlaintext if that is meant, or check the port.",
	},
	{
		[]string{"HTTP/1.1 header", "malformed HTTP"},
		"{} is no gRPC port: the Kohort server listens on 50051 unless told otherwise.",
	},
	{
		[]string{"produced zero addresses", "no such host", "lookup error"},
		"The host of {} was not found.",
	},
	{
		[]string{"connection refused"},
		noListener,
	},
	{
		[]string{"error reading from server", "closing transport due to"},
		"{} closed the connection in the middle of a call: it may have been stopped.",
	},
	{
		[]string{"context deadline exceeded", "i/o timeout", "use of closed network connection"},
		unreachable,
	},
}

const (
	unreachable = "{} could not be reached: check the host, the port and the network."
	noListener  = "Nothing listens on {}: is the server running, and is this its port?"
	noGRPC      = "{} closed the connection: it may speak TLS (this client spoke plaintext), or be no gRPC port."
	tlsFailed   = "TLS with {} failed: check the authority that signed its certificate (TLS.CAFile), the name in it " +
		"(TLS.ServerName), whether the server asks for a client's (TLS.CertFile, TLS.KeyFile), and whether it speaks TLS."
)

// hint says what a person should check. grpc has no codes for these causes, only
// texts.
func hint(code codes.Code, text string, end endpoint) string {
	found := hintFor(code, text, end.secure)
	if found == noListener && answersHere(end.target) {
		// The text tells of one address of localhost; what failed is the other.
		if found = noGRPC; end.secure {
			found = tlsFailed
		}
	}
	return strings.ReplaceAll(found, "{}", end.target)
}

// answersHere tells whether something listens at a port of "localhost", at either of
// its addresses. It needs no network, so it is done at once.
func answersHere(target string) bool {
	host, port := splitHost(target)
	if host != "localhost" {
		return false
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		connection, err := net.DialTimeout("tcp", net.JoinHostPort(address, port), 500*time.Millisecond)
		if err == nil {
			_ = connection.Close()
			return true
		}
	}
	return false
}

func hintFor(code codes.Code, text string, secure bool) string {
	switch code {
	case codes.Unimplemented:
		return "{} does not know this call: is it the gRPC port of a Kohort server, " +
			"and is the server as new as this client?"
	case codes.DeadlineExceeded:
		if strings.Contains(text, "waiting for connections") {
			return unreachable
		}
		return "The deadline of this call (that of its context, else Timeouts) was over; a job that the server has goes on."
	case codes.Unavailable:
	default:
		return ""
	}
	for _, cause := range causes {
		for _, sign := range cause.signs {
			if strings.Contains(text, sign) {
				return cause.hint
			}
		}
	}
	broken := strings.Contains(text, "EOF") || strings.Contains(text, "connection reset") || strings.Contains(text, "broken pipe")
	switch {
	case strings.Contains(text, "handshake failed"):
		return tlsFailed
	case broken && secure:
		return "{} closed the connection after TLS began: it may ask for a client certificate (TLS.CertFile, " +
			"TLS.KeyFile) of an authority that it trusts."
	case broken:
		return noGRPC
	}
	return unreachable
}

// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/kohort-health/kohort/clients/go/kohort"
)

// closedPort is an address where nothing listens: no free port, which another program may get.
const closedPort = "127.0.0.1:1"

// silentPort is an address that takes connections and never says a word.
func silentPort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// byName is a server by the name of this machine, which has an address where nobody
// listens: not another program either, to which a port free at 127.0.0.1 may belong.
func byName(t testing.TB, options ...grpc.ServerOption) string {
	t.Helper()
	for range 20 {
		_, port, _ := net.SplitHostPort(serve(t, options...).Address)
		other, err := net.Dial("tcp", net.JoinHostPort("::1", port))
		if err != nil {
			return net.JoinHostPort("localhost", port)
		}
		_ = other.Close()
	}
	t.Fatal("somebody listens at ::1 on every port")
	return ""
}

func TestWhatFailsToConnectSaysWhatToCheck(t *testing.T) {
	ca := newAuthority(t)
	soon := time.Now().Add(time.Hour)
	cert, key := ca.issue("localhost", soon)
	otherCert, otherKey := ca.issue("elsewhere.example", soon)
	oldCert, oldKey := ca.issue("localhost", time.Now().Add(-time.Hour))
	stranger := newAuthority(t)
	strangerCert, strangerKey := stranger.issue("localhost", soon)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	impatient := kohort.WithTimeouts(kohort.Timeouts{Connect: 100 * time.Millisecond})
	secure := kohort.WithTLS(kohort.TLS{CAFile: ca.file})

	for name, c := range map[string]struct {
		address string
		options []kohort.Option
		want    string
	}{
		"nothing listens":        {closedPort, nil, "Nothing listens on 127.0.0.1:"},
		"no answer":              {silentPort(t), []kohort.Option{impatient}, "could not be reached: check the host, the port and the network"},
		"plaintext to TLS":       {serve(t, ca.server(cert, key, false)).Address, nil, "it may speak TLS"},
		"plaintext by name":      {byName(t, ca.server(cert, key, false)), nil, "it may speak TLS"},
		"TLS by name":            {byName(t), []kohort.Option{secure}, "TLS"},
		"TLS to plaintext":       {serve(t).Address, []kohort.Option{secure}, "The server speaks plaintext and this client TLS"},
		"a web server":           {strings.TrimPrefix(web.URL, "http://"), nil, "is no gRPC port"},
		"no such host":           {"nowhere.invalid", nil, "The host of nowhere.invalid:50051 was not found."},
		"unknown authority":      {serve(t, stranger.server(strangerCert, strangerKey, false)).Address, []kohort.Option{secure}, "CAFile"},
		"another name":           {serve(t, ca.server(otherCert, otherKey, false)).Address, []kohort.Option{secure}, "ServerName"},
		"expired":                {serve(t, ca.server(oldCert, oldKey, false)).Address, []kohort.Option{secure}, "has expired"},
		"no client certificate":  {serve(t, ca.server(cert, key, true)).Address, []kohort.Option{secure}, "client certificate"},
		"bad client certificate": {serve(t, ca.server(cert, key, true)).Address, []kohort.Option{kohort.WithTLS(kohort.TLS{CAFile: ca.file, CertFile: strangerCert, KeyFile: strangerKey})}, "client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			client := dial(t, c.address, c.options...)
			start := time.Now()
			_, err := client.Capabilities(context.Background())
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			if !errors.Is(err, kohort.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			contains(t, failed(t, err).Hint, c.want)
		})
	}
}

func TestTheDeadlineHoldsWhereNothingAnswers(t *testing.T) {
	client := dial(t, silentPort(t))
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := client.Capabilities(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
	contains(t, failed(t, err).Hint, "could not be reached")
}

func TestEveryWayToConnect(t *testing.T) {
	ca := newAuthority(t)
	soon := time.Now().Add(time.Hour)
	cert, key := ca.issue("localhost", soon)
	namedCert, namedKey := ca.issue("kohort.example", soon)
	clientCert, clientKey := ca.issue("client", soon)
	for name, c := range map[string]struct {
		server []grpc.ServerOption
		tls    *kohort.TLS
	}{
		"plaintext":    {nil, nil},
		"TLS":          {[]grpc.ServerOption{ca.server(cert, key, false)}, &kohort.TLS{CAFile: ca.file}},
		"another name": {[]grpc.ServerOption{ca.server(namedCert, namedKey, false)}, &kohort.TLS{CAFile: ca.file, ServerName: "kohort.example"}},
		"mutual TLS":   {[]grpc.ServerOption{ca.server(cert, key, true)}, &kohort.TLS{CAFile: ca.file, CertFile: clientCert, KeyFile: clientKey}},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			server := serve(t, c.server...)
			var options []kohort.Option
			if c.tls != nil {
				options = append(options, kohort.WithTLS(*c.tls))
			}
			client := dial(t, server.Address, options...)
			if _, err := client.Capabilities(within(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

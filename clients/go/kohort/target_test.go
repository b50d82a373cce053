// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

func TestTargets(t *testing.T) {
	for target, want := range map[string]endpoint{
		"localhost":            {"localhost:50051", false},
		"localhost:7":          {"localhost:7", false},
		"db.localhost":         {"db.localhost:50051", false},
		"127.0.0.2:80":         {"127.0.0.2:80", false},
		"[::1]:80":             {"[::1]:80", false},
		"::1":                  {"[::1]:50051", false},
		"kohort.example":       {"kohort.example:50051", true},
		"10.0.0.1:443":         {"10.0.0.1:443", true},
		"2001:db8::1":          {"[2001:db8::1]:50051", true},
		"dns:kohort.example":   {"dns:kohort.example:50051", true},
		"dns:///localhost:1":   {"dns:///localhost:1", false},
		"passthrough:///a.b:1": {"passthrough:///a.b:1", true},
		"unix:/run/kohort":     {"unix:/run/kohort", false},
	} {
		got, err := parseTarget(target, false, false)
		if err != nil || got != want {
			t.Errorf("%s: got %v and %v, want %v", target, got, err, want)
		}
	}
	if got, _ := parseTarget("localhost", true, false); !got.secure {
		t.Error("TLS that was asked for is not used for this machine")
	}
	if got, _ := parseTarget("kohort.example", false, true); got.secure {
		t.Error("plaintext that was asked for is not used for another machine")
	}
}

func TestWhatIsWrongIsSaidBeforeAnyCall(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "no.pem")
	if err := os.WriteFile(text, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(folder, "locked.pem")
	if err := os.WriteFile(locked, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(folder, "missing.pem")
	for name, c := range map[string]struct {
		target  string
		options []Option
		want    string
	}{
		"no target":      {" ", nil, "the target is empty"},
		"a URL":          {"https://kohort.example", nil, "not a URL"},
		"port 0":         {"localhost:0", nil, "host:port"},
		"a word as port": {"localhost:grpc", nil, "host:port"},
		"no host":        {":50051", nil, "host:port"},
		"both":           {"localhost", []Option{WithTLS(TLS{}), WithPlaintext()}, "contradict"},
		"half a pair":    {"localhost", []Option{WithTLS(TLS{CertFile: text})}, "belong together"},
		"no such file":   {"localhost", []Option{WithTLS(TLS{CAFile: missing})}, "CAFile"},
		"no PEM":         {"localhost", []Option{WithTLS(TLS{CAFile: text})}, "no certificate in PEM"},
		"no key":         {"localhost", []Option{WithTLS(TLS{CertFile: text, KeyFile: text})}, "KeyFile"},
		"a password":     {"localhost", []Option{WithTLS(TLS{CertFile: text, KeyFile: locked})}, "has a password"},
		"many pings":     {"localhost", []Option{WithKeepalive(Keepalive{Interval: 9 * time.Second})}, "below the 10s"},
		"a negative try": {"localhost", []Option{WithRetry(Retry{Attempts: -1})}, "positive"},
		"a shrinking":    {"localhost", []Option{WithRetry(Retry{Multiplier: 0.5})}, "at least 1"},
		"a past connect": {"localhost", []Option{WithTimeouts(Timeouts{Connect: -1})}, "positive"},
		"a line end":     {"localhost", []Option{WithMetadata(map[string]string{"x-key": "secret\n"})}, "of x-key has"},
		"no source":      {"localhost", []Option{WithTokenSource(nil)}, "nil"},
	} {
		client, err := NewClient(c.target, c.options...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if client != nil {
			t.Errorf("%s: got a client, too", name)
		}
	}
}

func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	chosen := defaultSettings()
	for _, option := range []Option{
		WithRetry(Retry{Attempts: 2, Jitter: -1}), WithTimeouts(Timeouts{Call: -1}),
		WithKeepalive(Keepalive{Timeout: time.Second}),
	} {
		if err := option(&chosen); err != nil {
			t.Fatal(err)
		}
	}
	retry := Retry{
		Attempts: 2, InitialBackoff: 200 * time.Millisecond, Multiplier: 2,
		MaxBackoff: 5 * time.Second, StreamPatience: time.Minute,
	}
	if chosen.retry != retry {
		t.Errorf("got %+v", chosen.retry)
	}
	if want := (Timeouts{5 * time.Second, -1, time.Hour}); chosen.timeouts != want {
		t.Errorf("got %+v", chosen.timeouts)
	}
	if want := (Keepalive{Interval: 30 * time.Second, Timeout: time.Second}); chosen.keepalive != want {
		t.Errorf("got %+v", chosen.keepalive)
	}
}

// TestTheOtherAddressOfLocalhost: what refused the connection may not be what failed.
func TestTheOtherAddressOfLocalhost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	const text = "dial tcp [::1]:1: connect: connection refused"
	for secure, want := range map[bool]string{false: "it may speak TLS", true: "TLS with localhost:" + port + " failed"} {
		if got := hint(codes.Unavailable, text, endpoint{"localhost:" + port, secure}); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	_ = listener.Close()
	if got := hint(codes.Unavailable, text, endpoint{"localhost:" + port, false}); !strings.Contains(got, "Nothing listens") {
		t.Errorf("got %q", got)
	}
}

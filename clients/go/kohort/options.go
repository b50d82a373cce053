// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"cmp"
	"context"
	"maps"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

// An Option of [NewClient].
type Option func(*settings) error

// TLS says how the server is recognised and how this client proves who it is.
// The zero value trusts the authorities of the system.
type TLS struct {
	// CAFile is a PEM file of the authorities that may have signed the server's
	// certificate. Empty trusts those of the system.
	CAFile string
	// CertFile is a PEM file of this client's certificate chain, for servers that
	// ask for one (mTLS). It needs KeyFile.
	CertFile string
	// KeyFile is a PEM file of the private key of CertFile, without a password.
	KeyFile string
	// ServerName is the name that the server's certificate must bear, where it is
	// not the host of the target.
	ServerName string
}

// Retry says when a call is tried again. Only what cannot harm is repeated: calls
// that the server did not take (UNAVAILABLE), or declined for now naming a time to
// wait. Calls that create something carry a request id, so that a repeat finds what
// the first try made. One deadline covers all tries. Fields that are zero have
// their defaults.
type Retry struct {
	// Attempts are the tries of a call, the first included. 1 never repeats; the
	// default is 5.
	Attempts int
	// InitialBackoff is the wait before the second try; the default is 200 ms.
	InitialBackoff time.Duration
	// Multiplier tells how much longer each further wait is; the default is 2.
	Multiplier float64
	// MaxBackoff is the longest wait, unless the server names a longer one; the
	// default is 5 s.
	MaxBackoff time.Duration
	// Jitter is the share by which each wait is randomly longer or shorter, so that
	// clients do not return in step. The default is 0.2; negative is none.
	Jitter float64
	// StreamPatience tells how long a stream that has begun is resumed without
	// progress, as over a restart of the server; the default is 60 s.
	StreamPatience time.Duration
}

// Keepalive are pings that notice a dead connection. A Kohort server allows one
// ping every 10 seconds; other servers and proxies may close connections that ping
// more often than every 5 minutes. Fields that are zero have their defaults.
type Keepalive struct {
	// Interval between pings, at least 10 s; the default is 30 s.
	Interval time.Duration
	// Timeout without an answer after which the connection counts as dead; the
	// default is 15 s.
	Timeout time.Duration
	// OnlyDuringCalls sends no pings while no call is under way.
	OnlyDuringCalls bool
}

// Timeouts tell how long calls may take, all tries together. A deadline of the
// context takes the place of both Call and Transfer. Fields that are zero have their
// defaults; Call and Transfer have no limit where they are negative.
type Timeouts struct {
	// Connect is for one try to open a connection; the default is 5 s.
	Connect time.Duration
	// Call is for calls that ask one thing and get one answer; the default is 30 s.
	Call time.Duration
	// Transfer is for uploads, samples, downloads and imports; the default is 1 h.
	// Following a job has no limit but that of its context.
	Transfer time.Duration
}

// shortestPing is what a Kohort server allows. It would answer more with GOAWAY
// too_many_pings, and grpc would lengthen a shorter interval without a word.
const shortestPing = 10 * time.Second

// settings are what the options of a client add up to.
type settings struct {
	tls       *TLS
	plaintext bool
	token     func(context.Context) (string, error)
	keepalive Keepalive
	retry     Retry
	timeouts  Timeouts
	metadata  map[string]string
	dialing   []grpc.DialOption
}

func defaultSettings() settings {
	return settings{
		keepalive: Keepalive{Interval: 30 * time.Second, Timeout: 15 * time.Second},
		retry: Retry{
			Attempts: 5, InitialBackoff: 200 * time.Millisecond, Multiplier: 2,
			MaxBackoff: 5 * time.Second, Jitter: 0.2, StreamPatience: time.Minute,
		},
		timeouts: Timeouts{Connect: 5 * time.Second, Call: 30 * time.Second, Transfer: time.Hour},
		metadata: map[string]string{},
	}
}

// WithTLS connects by TLS, to this machine too.
func WithTLS(tls TLS) Option {
	return func(s *settings) error {
		if (tls.CertFile == "") != (tls.KeyFile == "") {
			return wrongUse("TLS: CertFile and KeyFile belong together")
		}
		s.tls = &tls
		return nil
	}
}

// WithPlaintext connects without TLS, to other machines too. Tokens and rows then
// travel in the clear: use it only where something else encrypts the way.
func WithPlaintext() Option {
	return func(s *settings) error {
		s.plaintext = true
		return nil
	}
}

// WithToken sends the token with every call, as "authorization: Bearer". White space
// around it, as at the end of a file, is left out. It travels in the clear only to this
// machine, or to others after [WithPlaintext].
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource sends the token that the source gives, which is asked for every
// try of every call, so that tokens may change. It should return at once where its
// context is done. Nothing is sent for an empty token; an error of the source fails
// the call as UNAUTHENTICATED.
func WithTokenSource(source func(context.Context) (string, error)) Option {
	return func(s *settings) error {
		if source == nil {
			return wrongUse("the token source is nil")
		}
		s.token = source
		return nil
	}
}

// WithKeepalive changes the pings. An interval below 10 s is an error: the server
// would send the client away.
func WithKeepalive(k Keepalive) Option {
	return func(s *settings) error {
		k.Interval = cmp.Or(k.Interval, s.keepalive.Interval)
		k.Timeout = cmp.Or(k.Timeout, s.keepalive.Timeout)
		if k.Interval < shortestPing {
			return wrongUse("a keepalive interval of %v is below the %v that a Kohort server allows", k.Interval, shortestPing)
		}
		if k.Timeout < 0 {
			return wrongUse("a keepalive timeout is positive")
		}
		s.keepalive = k
		return nil
	}
}

// WithRetry changes when calls are tried again.
func WithRetry(r Retry) Option {
	return func(s *settings) error {
		if r.Attempts < 0 || r.InitialBackoff < 0 || r.MaxBackoff < 0 || r.StreamPatience < 0 || r.Jitter > 1 {
			return wrongUse("retry: attempts and times are positive, and the jitter is at most 1")
		}
		if r.Multiplier != 0 && !(r.Multiplier >= 1) {
			return wrongUse("retry: the multiplier is at least 1")
		}
		d := s.retry
		s.retry = Retry{
			Attempts:       cmp.Or(r.Attempts, d.Attempts),
			InitialBackoff: cmp.Or(r.InitialBackoff, d.InitialBackoff),
			Multiplier:     cmp.Or(r.Multiplier, d.Multiplier),
			MaxBackoff:     cmp.Or(r.MaxBackoff, d.MaxBackoff),
			Jitter:         max(0, cmp.Or(r.Jitter, d.Jitter)),
			StreamPatience: cmp.Or(r.StreamPatience, d.StreamPatience),
		}
		return nil
	}
}

// WithTimeouts changes how long calls may take where their context has no deadline.
func WithTimeouts(t Timeouts) Option {
	return func(s *settings) error {
		if t.Connect < 0 {
			return wrongUse("the timeout to connect is positive")
		}
		s.timeouts = Timeouts{
			Connect:  cmp.Or(t.Connect, s.timeouts.Connect),
			Call:     cmp.Or(t.Call, s.timeouts.Call),
			Transfer: cmp.Or(t.Transfer, s.timeouts.Transfer),
		}
		return nil
	}
}

// WithMetadata sends these pairs with every call, as a proxy may ask for.
func WithMetadata(pairs map[string]string) Option {
	return func(s *settings) error {
		for key, value := range pairs {
			if !strings.HasSuffix(key, "-bin") && strings.ContainsFunc(value, unprintable) {
				return wrongUse("metadata: the value of %s has characters that no header can hold: a line end, perhaps", key)
			}
		}
		maps.Copy(s.metadata, pairs)
		return nil
	}
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

// WithDialOptions passes options on to grpc.NewClient, after those of this package:
// interceptors, a stats handler, a dialer.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) error {
		s.dialing = append(s.dialing, options...)
		return nil
	}
}

// dialOptions are all that grpc is told. The message limits stay grpc's own: what
// the server sends is far smaller, so a larger message is a defect.
func (s settings) dialOptions(end endpoint) ([]grpc.DialOption, error) {
	transport, err := end.credentials(s.tls)
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("kohort-go/" + Version),
		// Tries are counted by attempts, under one deadline; grpc's would multiply them.
		grpc.WithDisableRetry(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                s.keepalive.Interval,
			Timeout:             s.keepalive.Timeout,
			PermitWithoutStream: !s.keepalive.OnlyDuringCalls,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second,
			},
			MinConnectTimeout: s.timeouts.Connect,
		}),
	}
	if s.token != nil {
		options = append(options, grpc.WithPerRPCCredentials(bearer(s.token)))
	}
	return append(options, s.dialing...), nil
}

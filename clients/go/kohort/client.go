// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// Version is the version of this client, which servers see in its user agent.
const Version = "0.1.0"

// A Client calls one Kohort server over one connection, which it opens with the
// first call and opens again when it is lost. It is safe for use by several
// goroutines at once.
type Client struct {
	connection *grpc.ClientConn
	endpoint   endpoint
	settings   settings
	closing    sync.Once
	closed     chan struct{}

	capabilities pb.CapabilitiesServiceClient
	datasets     pb.DatasetServiceClient
	training     pb.TrainingServiceClient
	sampling     pb.SamplingServiceClient
	evaluation   pb.EvaluationServiceClient
}

// NewClient makes a client of the server at target, which is host:port; the port
// is 50051 when left out. It uses TLS unless the host is this machine (localhost,
// 127.0.0.1, ::1) or [WithPlaintext] is given.
//
// Nothing is sent yet: a server that cannot be reached is told by the first call.
// The error says what is wrong with the target, an option or a file of [TLS].
func NewClient(target string, options ...Option) (*Client, error) {
	chosen := defaultSettings()
	for _, option := range options {
		if err := option(&chosen); err != nil {
			return nil, err
		}
	}
	end, err := parseTarget(target, chosen.tls != nil, chosen.plaintext)
	if err != nil {
		return nil, err
	}
	dialing, err := chosen.dialOptions(end)
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(end.target, dialing...)
	if err != nil {
		return nil, wrongUse("the connection to %s cannot be set up: %v", end.target, err)
	}
	return &Client{
		connection:   connection,
		endpoint:     end,
		settings:     chosen,
		closed:       make(chan struct{}),
		capabilities: pb.NewCapabilitiesServiceClient(connection),
		datasets:     pb.NewDatasetServiceClient(connection),
		training:     pb.NewTrainingServiceClient(connection),
		sampling:     pb.NewSamplingServiceClient(connection),
		evaluation:   pb.NewEvaluationServiceClient(connection),
	}, nil
}

// Close closes the connection and ends calls under way, which return an error
// that is [ErrClosed]. Jobs go on: they live on the server. Closing again does
// nothing.
func (c *Client) Close() error {
	c.closing.Do(func() {
		close(c.closed)
		// It tells only of a connection that was closed before.
		_ = c.connection.Close()
	})
	return nil
}

// Conn is the connection, for stubs of the contract that are used directly. Calls
// made on it carry the token and the user agent, but neither the default
// deadlines nor the retries of this package.
func (c *Client) Conn() grpc.ClientConnInterface {
	return c.connection
}

// unary makes a call that asks one thing and gets one answer, tried again where
// that is safe.
func unary[Q, R any](
	ctx context.Context, c *Client, method func(context.Context, Q, ...grpc.CallOption) (R, error), request Q,
) (R, error) {
	attempts, cancel := c.attempts(ctx, c.settings.timeouts.Call)
	defer cancel()
	for {
		answer, err := method(attempts.ctx(), request)
		if err == nil {
			return answer, nil
		}
		if err := attempts.again(err); err != nil {
			var none R
			return none, err
		}
	}
}

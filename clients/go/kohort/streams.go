// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
)

// sendAll makes one try of a call that takes a stream and answers once. An error of
// the messages, a callerError then, leaves the call to be ended by its context.
func sendAll[Q, R any](
	ctx context.Context,
	open func(context.Context, ...grpc.CallOption) (grpc.ClientStreamingClient[Q, R], error),
	messages iter.Seq2[*Q, error],
) (*R, error) {
	stream, err := open(ctx)
	if err != nil {
		return nil, err
	}
	for message, err := range messages {
		if err != nil {
			return nil, callerError{err}
		}
		if err := stream.Send(message); errors.Is(err, io.EOF) {
			// The server answered early; CloseAndRecv tells what.
			break
		} else if err != nil {
			return nil, err
		}
	}
	return stream.CloseAndRecv()
}

// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"crypto/rand"
	"fmt"

	"google.golang.org/grpc/metadata"
)

const requestIDKey = "x-request-id"

// outgoing gives the context the metadata of a call, and tells the call's request
// id: the one that the caller put into the context, else a new one.
func (c *Client) outgoing(ctx context.Context) (context.Context, string) {
	for key, value := range c.settings.metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	if said, ok := metadata.FromOutgoingContext(ctx); ok {
		if ids := said.Get(requestIDKey); len(ids) > 0 {
			return ctx, ids[0]
		}
	}
	id := newUUID()
	return metadata.AppendToOutgoingContext(ctx, requestIDKey, id), id
}

// newUUID makes a random UUID (version 4).
func newUUID() string {
	var b [16]byte
	// It never fails: the process would end instead.
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

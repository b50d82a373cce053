// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// Capabilities tell what the server can do: trainers with every parameter, limits,
// formats and devices, and the tenant and roles that it sees in this caller.
func (c *Client) Capabilities(ctx context.Context) (*pb.GetCapabilitiesResponse, error) {
	return unary(ctx, c, c.capabilities.GetCapabilities, &pb.GetCapabilitiesRequest{})
}

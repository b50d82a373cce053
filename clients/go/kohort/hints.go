// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import "google.golang.org/grpc/codes"

// hint says what a person should check. grpc has no codes for these causes, only
// texts.
func hint(c codes.Code, text string, end endpoint) string {
	_ = text
	if c == codes.Unimplemented {
		return end.target + " does not know this call: is it the gRPC port of a Kohort server, " +
			"and is the server as new as this client?"
	}
	return ""
}

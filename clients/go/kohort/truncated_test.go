// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAStreamThatEndsWithinAMessageMayBeResumed(t *testing.T) {
	var failed *Error
	err := asError(status.Error(codes.Internal, io.ErrUnexpectedEOF.Error()), "id")
	if !errors.As(err, &failed) || failed.Code != codes.Unavailable {
		t.Errorf("a truncated message is %v, not a break", err)
	}
	err = asError(status.Error(codes.Internal, "a defect"), "id")
	if !errors.As(err, &failed) || failed.Code != codes.Internal {
		t.Errorf("a defect of the server became %v", err)
	}
}

// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

func TestAnErrorHoldsWhatTheServerSaid(t *testing.T) {
	server := serve(t)
	server.Fail("GetModel", fakeserver.Refusal{
		Code: codes.FailedPrecondition, Reason: "MODEL_LOCKED", Message: "the model is locked",
		Metadata: map[string]string{"rules": "dcr", "request_id": "42"}, Fields: []string{"name"},
	}.Err())
	_, err := dial(t, server.Address).Model(within(t), "models/1")
	got := failed(t, fmt.Errorf("wrapped: %w", err))
	if got.Code != codes.FailedPrecondition || got.Reason != "MODEL_LOCKED" || got.RequestID != "42" ||
		len(got.Metadata) != 1 || got.Metadata["rules"] != "dcr" || got.Hint != "" ||
		len(got.Violations) != 1 || got.Violations[0] != (kohort.Violation{Field: "name", Description: "refused"}) {
		t.Errorf("got %#v", got)
	}
	if want := "MODEL_LOCKED: the model is locked\n  name: refused"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("grpc reads %v", status.Code(err))
	}
	for _, is := range []error{kohort.ErrModelLocked, kohort.ErrFailedPrecondition} {
		if !errors.Is(err, is) {
			t.Errorf("it is not %v", is)
		}
	}
	for _, other := range []error{kohort.ErrCohortTooSmall, kohort.ErrNotFound, context.Canceled, kohort.ErrClosed} {
		if errors.Is(err, other) {
			t.Errorf("it is %v", other)
		}
	}
}

func TestEveryCodeHasItsError(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address, kohort.WithRetry(kohort.Retry{Attempts: 1}))
	for code, want := range map[codes.Code]error{
		codes.InvalidArgument: kohort.ErrInvalidRequest, codes.OutOfRange: kohort.ErrInvalidRequest,
		codes.NotFound: kohort.ErrNotFound, codes.AlreadyExists: kohort.ErrAlreadyExists,
		codes.PermissionDenied: kohort.ErrPermissionDenied, codes.Unauthenticated: kohort.ErrUnauthenticated,
		codes.FailedPrecondition: kohort.ErrFailedPrecondition, codes.Aborted: kohort.ErrConflict,
		codes.ResourceExhausted: kohort.ErrOverloaded, codes.Unavailable: kohort.ErrUnavailable,
		codes.Unimplemented: kohort.ErrUnimplemented, codes.Internal: kohort.ErrServer, codes.Unknown: kohort.ErrServer,
		codes.DataLoss: kohort.ErrServer, codes.DeadlineExceeded: context.DeadlineExceeded, codes.Canceled: context.Canceled,
	} {
		server.Fail("GetModel", status.Error(code, "so it is"))
		_, err := client.Model(within(t), "models/1")
		if got := failed(t, err); !errors.Is(err, want) || got.Code != code || got.Message != "so it is" || len(got.RequestID) != 36 {
			t.Errorf("%v: got %#v", code, got)
		}
	}
}

func TestAServerThatDoesNotKnowTheCall(t *testing.T) {
	server := serve(t)
	server.Fail("GetModel", status.Error(codes.Unimplemented, "unknown method GetModel"))
	_, err := dial(t, server.Address).Model(within(t), "models/1")
	contains(t, err.Error(), "UNIMPLEMENTED: unknown method GetModel\n", server.Address, "gRPC port", "as new as this client")
}

func TestTheErrorOfAJob(t *testing.T) {
	job := &pb.Job{Name: "jobs/1", State: pb.JobState_JOB_STATE_CANCELLED}
	err := error(&kohort.JobError{Job: job})
	if err.Error() != "jobs/1 was cancelled" || !errors.Is(err, kohort.ErrJobCancelled) || errors.Is(err, kohort.ErrJobFailed) {
		t.Errorf("got %v", err)
	}
	job.State, job.Error = pb.JobState_JOB_STATE_FAILED, &pb.JobError{Reason: "OUT_OF_MEMORY", Message: "too large"}
	if err.Error() != "jobs/1: OUT_OF_MEMORY: too large" || !errors.Is(err, kohort.ErrJobFailed) || errors.Is(err, kohort.ErrJobCancelled) {
		t.Errorf("got %v", err)
	}
}

func TestWrongUseIsAnInvalidRequest(t *testing.T) {
	client := dial(t, serve(t).Address)
	_, none := kohort.NewClient("localhost", kohort.WithTLS(kohort.TLS{CAFile: "none.pem"}))
	if !errors.Is(none, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", none)
	}
	_, url := kohort.NewClient("http://localhost")
	_, file := client.UploadFile(within(t), "patients.doc")
	_, units := kohort.Collect[struct {
		Age int `kohort:"age"`
	}](within(t), client.Sample("models/1", -1))
	for _, err := range []error{none, url, file, units} {
		if !errors.Is(err, kohort.ErrInvalidRequest) || errors.Is(err, kohort.ErrNotFound) {
			t.Errorf("got %v, want ErrInvalidRequest", err)
		}
	}
}

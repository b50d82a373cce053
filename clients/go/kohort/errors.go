// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// What the error of a call is, for [errors.Is]. A call whose deadline was over is
// also [context.DeadlineExceeded], and one whose context was cancelled is
// [context.Canceled].
var (
	// ErrInvalidRequest: the request or the data breaks a documented rule; found here
	// or by the server (INVALID_ARGUMENT, OUT_OF_RANGE).
	ErrInvalidRequest = errors.New("kohort: invalid request")
	// ErrNotFound: no such dataset, job, model or report for this caller (NOT_FOUND).
	ErrNotFound = errors.New("kohort: not found")
	// ErrAlreadyExists: the request id was used before with other content
	// (ALREADY_EXISTS).
	ErrAlreadyExists = errors.New("kohort: already exists")
	// ErrPermissionDenied: the caller lacks the role (PERMISSION_DENIED).
	ErrPermissionDenied = errors.New("kohort: permission denied")
	// ErrUnauthenticated: no identity, or one that does not hold (UNAUTHENTICATED).
	ErrUnauthenticated = errors.New("kohort: unauthenticated")
	// ErrFailedPrecondition: the request is well-formed, but something else stands
	// against it now (FAILED_PRECONDITION).
	ErrFailedPrecondition = errors.New("kohort: failed precondition")
	// ErrConflict: somebody else changed it since it was read; read it again and
	// repeat (ABORTED).
	ErrConflict = errors.New("kohort: conflict")
	// ErrOverloaded: a queue, a limit or the disk is full (RESOURCE_EXHAUSTED);
	// Error.RetryAfter says when to come back, where that helps.
	ErrOverloaded = errors.New("kohort: overloaded")
	// ErrUnavailable: the server could not be reached, or is shutting down
	// (UNAVAILABLE).
	ErrUnavailable = errors.New("kohort: unavailable")
	// ErrUnimplemented: the server does not know this call, or does not do this yet
	// (UNIMPLEMENTED).
	ErrUnimplemented = errors.New("kohort: unimplemented")
	// ErrServer: a defect of the server, whose log holds more under Error.RequestID
	// (INTERNAL, UNKNOWN, DATA_LOSS).
	ErrServer = errors.New("kohort: server error")

	// ErrConditionUnsupported: the model cannot honour what was asked of a sample
	// (reason CONDITION_UNSUPPORTED); also ErrInvalidRequest.
	ErrConditionUnsupported = errors.New("kohort: condition unsupported")
	// ErrCohortTooSmall: too few training patients met the conditions (reason
	// COHORT_TOO_SMALL); also ErrFailedPrecondition.
	ErrCohortTooSmall = errors.New("kohort: cohort too small")
	// ErrConditionUnsatisfied: a unit met the conditions in none of its attempts; the
	// rows before it were sent (reason CONDITION_UNSATISFIED, "units_reached" in the
	// metadata); also ErrFailedPrecondition.
	ErrConditionUnsatisfied = errors.New("kohort: condition unsatisfied")
	// ErrModelLocked: the release policy, or a custodian, keeps what the model makes
	// in the house (reason MODEL_LOCKED, the broken "rules" in the metadata); also
	// ErrFailedPrecondition.
	ErrModelLocked = errors.New("kohort: model locked")

	// ErrClosed: the client was closed, before the call or during it.
	ErrClosed = errors.New("kohort: the client is closed")
	// ErrJobFailed: the job of a [JobError] failed.
	ErrJobFailed = errors.New("kohort: job failed")
	// ErrJobCancelled: the job of a [JobError] was cancelled.
	ErrJobCancelled = errors.New("kohort: job cancelled")
)

var byCode = map[codes.Code]error{
	codes.InvalidArgument:    ErrInvalidRequest,
	codes.OutOfRange:         ErrInvalidRequest,
	codes.NotFound:           ErrNotFound,
	codes.AlreadyExists:      ErrAlreadyExists,
	codes.PermissionDenied:   ErrPermissionDenied,
	codes.Unauthenticated:    ErrUnauthenticated,
	codes.FailedPrecondition: ErrFailedPrecondition,
	codes.Aborted:            ErrConflict,
	codes.ResourceExhausted:  ErrOverloaded,
	codes.Unavailable:        ErrUnavailable,
	codes.Unimplemented:      ErrUnimplemented,
	codes.Internal:           ErrServer,
	codes.Unknown:            ErrServer,
	codes.DataLoss:           ErrServer,
	codes.DeadlineExceeded:   context.DeadlineExceeded,
	codes.Canceled:           context.Canceled,
}

var byReason = map[string]error{
	"CONDITION_UNSUPPORTED": ErrConditionUnsupported,
	"COHORT_TOO_SMALL":      ErrCohortTooSmall,
	"CONDITION_UNSATISFIED": ErrConditionUnsatisfied,
	"MODEL_LOCKED":          ErrModelLocked,
}

// An Error is a call that failed, of whatever kind: [errors.Is] with the Err
// variables of this package tells them apart.
type Error struct {
	// Code is the gRPC code.
	Code codes.Code
	// Reason is a stable reason of the contract, such as "DATASET_EXPIRED"; empty
	// where the error does not come from a Kohort server.
	Reason string
	// Message is for people. It never holds a cell value.
	Message string
	// Metadata are short facts for programs.
	Metadata map[string]string
	// Violations name the fields or columns at fault.
	Violations []Violation
	// RetryAfter is how long to wait before a repeat makes sense; 0 where the server
	// does not say.
	RetryAfter time.Duration
	// RequestID finds the call in the server's log. It is the same for all tries.
	RequestID string
	// Hint says what to check where the cause is likely outside of the request.
	Hint string

	// declined: the server named a time to wait.
	declined bool
	// ours: a Kohort server said it, not a proxy or this side.
	ours   bool
	closed bool
}

// A Violation is one thing that is wrong with a request.
type Violation struct {
	// Field is the field of the request, or the column of the data.
	Field string
	// Description is for people. It never holds a cell value.
	Description string
}

// Error is the reason, or else the code, and the message; then a line for each
// violation that the message does not hold, and the hint.
func (e *Error) Error() string {
	name := e.Reason
	if name == "" {
		name = code.Code(e.Code).String()
	}
	text := name + ": " + e.Message
	for _, v := range e.Violations {
		if said := v.Field + ": " + v.Description; !strings.Contains(e.Message, said) {
			text += "\n  " + said
		}
	}
	if e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
}

// Is tells whether the error is of the kind of one of the Err variables.
func (e *Error) Is(target error) bool {
	if e.closed {
		return target == ErrClosed
	}
	return target == byCode[e.Code] || (e.Reason != "" && target == byReason[e.Reason])
}

// GRPCStatus makes the error known to grpc's package status: status.Code(err) is
// e.Code.
func (e *Error) GRPCStatus() *status.Status {
	return status.New(e.Code, e.Message)
}

// An IntegrityError says that a stream brought rows or bytes that are incomplete or
// do not have their digest.
type IntegrityError struct {
	// Message is for people. It never holds a cell value.
	Message string
}

// Error is the message.
func (e *IntegrityError) Error() string {
	return e.Message
}

// A JobError says that a job ended without a model or report: the work failed or
// was cancelled, the calls did not. [errors.Is] with [ErrJobFailed] and
// [ErrJobCancelled] tells which.
type JobError struct {
	// Job is the job as it ended; Job.GetError().GetReason() is a stable reason such
	// as "TRAINING_DIVERGED".
	Job *pb.Job
}

// Error tells how the job ended.
func (e *JobError) Error() string {
	if e.Job.GetState() == pb.JobState_JOB_STATE_CANCELLED {
		return e.Job.GetName() + " was cancelled"
	}
	return fmt.Sprintf("%s: %s: %s", e.Job.GetName(), e.Job.GetError().GetReason(), e.Job.GetError().GetMessage())
}

// Is tells whether the job failed or was cancelled.
func (e *JobError) Is(target error) bool {
	if e.Job.GetState() == pb.JobState_JOB_STATE_CANCELLED {
		return target == ErrJobCancelled
	}
	return target == ErrJobFailed
}

// asError is the *Error of a call's error; what is none (an [IntegrityError], an
// error of the caller's reader) stays as it is. io.EOF means that a stream ended too
// early, as by a proxy's time limit.
func asError(err error, requestID string) error {
	var done *Error
	switch {
	case err == nil || errors.As(err, &done):
		return err
	case errors.Is(err, ErrClosed):
		return &Error{Code: codes.Canceled, Message: "the client is closed", RequestID: requestID, closed: true}
	case errors.Is(err, io.EOF):
		return &Error{Code: codes.Unavailable, Message: "the stream ended early", RequestID: requestID}
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		err = status.FromContextError(err).Err()
	}
	found, ok := status.FromError(err)
	if !ok {
		return err
	}
	failed := &Error{Code: found.Code(), Message: found.Message(), RequestID: requestID}
	if failed.Message == "" {
		failed.Message = code.Code(failed.Code).String()
	}
	for _, detail := range found.Details() {
		failed.read(detail)
	}
	// A server that has to end a stream within a message, as at the end of a drain: grpc-go
	// gives this in place of the status that came with it.
	if !failed.ours && failed.Code == codes.Internal && failed.Message == io.ErrUnexpectedEOF.Error() {
		failed.Code, failed.Message = codes.Unavailable, "the stream ended within a message"
	}
	return failed
}

func (e *Error) read(detail any) {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		if detail.GetDomain() != "kohort" {
			return
		}
		e.ours, e.Reason, e.Metadata = true, detail.GetReason(), maps.Clone(detail.GetMetadata())
		if id := e.Metadata["request_id"]; id != "" {
			e.RequestID = id
		}
		delete(e.Metadata, "request_id")
	case *errdetails.BadRequest:
		for _, v := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, Violation{v.GetField(), v.GetDescription()})
		}
	case *errdetails.RetryInfo:
		e.declined, e.RetryAfter = true, detail.GetRetryDelay().AsDuration()
	}
}

// wrongUse is what a caller of this package got wrong before any call.
func wrongUse(format string, values ...any) error {
	return &useError{fmt.Errorf("kohort: "+format, values...)}
}

// A useError is ErrInvalidRequest without a call that failed.
type useError struct{ error }

// Is tells whether the target is ErrInvalidRequest.
func (e *useError) Is(target error) bool { return target == ErrInvalidRequest }

// Unwrap is what was found, such as a file that is not there.
func (e *useError) Unwrap() error { return errors.Unwrap(e.error) }

// refused is what this side found wrong with a request or the caller's data, as if
// the server had.
func refused(reason, field, description string) *Error {
	return &Error{
		Code: codes.InvalidArgument, Reason: reason, Message: field + ": " + description,
		Violations: []Violation{{field, description}}, ours: true,
	}
}

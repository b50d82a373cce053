// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A Refusal is an error as a Kohort server sends it.
type Refusal struct {
	// Code is the gRPC code.
	Code codes.Code
	// Reason is that of the contract.
	Reason string
	// Message is "refused" where it is empty.
	Message string
	// Metadata of the reason.
	Metadata map[string]string
	// Fields that are at fault, each described as "refused".
	Fields []string
	// RetryAfter adds RetryInfo where it is not 0.
	RetryAfter time.Duration
}

// Err is the error to return from a handler.
func (r Refusal) Err() error {
	message := r.Message
	if message == "" {
		message = "refused"
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: r.Reason, Domain: "kohort", Metadata: r.Metadata}}
	if len(r.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, field := range r.Fields {
			violation := &errdetails.BadRequest_FieldViolation{Field: field, Description: "refused"}
			bad.FieldViolations = append(bad.FieldViolations, violation)
		}
		details = append(details, bad)
	}
	if r.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(r.RetryAfter)})
	}
	full, err := status.New(r.Code, message).WithDetails(details...)
	if err != nil {
		panic(err) // a code that is no error
	}
	return full.Err()
}

func methodName(fullMethod string) string {
	return fullMethod[strings.LastIndex(fullMethod, "/")+1:]
}

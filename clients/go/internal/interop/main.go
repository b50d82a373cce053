// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// Command interop calls a Kohort server and prints what it saw as JSON, in the
// form that tests/interop compares between languages.
//
//	interop sample ADDRESS MODEL START_UNIT UNIT_COUNT SEED [COLUMN VALUE COLUMN LOW HIGH]
//	interop upload ADDRESS FILE.csv TABLE
//
// With five words more every row has VALUE in the first column, and in the second
// one something from LOW to HIGH.
//
// A failed call prints {"error": …} and exits with 3. A stream that breaks the
// contract, a wrong digest above all, exits with 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const (
	usage      = "interop sample ADDRESS MODEL START_UNIT UNIT_COUNT SEED [COLUMN VALUE COLUMN LOW HIGH] | interop upload ADDRESS FILE TABLE"
	deadline   = time.Minute
	failedCall = 3
)

func main() {
	result, err := run(os.Args[1:])
	exit := 0
	if failure, isCall := asFailure(err); isCall {
		result, exit = failure, failedCall
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(exit)
}

func run(args []string) (any, error) {
	if len(args) < 2 {
		return nil, errors.New(usage)
	}
	connection, err := grpc.NewClient(args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()

	switch {
	case args[0] == "sample" && (len(args) == 6 || len(args) == 11):
		var numbers [3]int64
		for i, text := range args[3:6] {
			if numbers[i], err = strconv.ParseInt(text, 10, 64); err != nil {
				return nil, err
			}
		}
		return sample(ctx, connection, args[2], numbers[0], numbers[1], numbers[2], conditions(args[6:]))
	case args[0] == "upload" && len(args) == 4:
		return upload(ctx, connection, args[2], args[3])
	}
	return nil, errors.New(usage)
}

// asFailure turns the error of a call into what is printed of it.
func asFailure(err error) (any, bool) {
	failed, ok := status.FromError(err)
	if err == nil || !ok {
		return nil, false
	}
	failure := map[string]any{"code": code.Code(failed.Code()).String(), "reason": "", "domain": ""}
	fields := []string{}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure["reason"], failure["domain"] = detail.GetReason(), detail.GetDomain()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				fields = append(fields, violation.GetField())
			}
		case *errdetails.RetryInfo:
			failure["retry_ms"] = detail.GetRetryDelay().AsDuration().Milliseconds()
		}
	}
	failure["fields"] = fields
	return map[string]any{"error": failure}, true
}

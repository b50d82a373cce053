// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// Command interop is the Go driver of tests/interop: one call of the client library
// from the command line, what it saw as JSON. The page of its verbs is
// tests/interop/canonical.py.
//
//	interop VERB ADDRESS ARGUMENT…
//
// A failed call prints {"error": …} and exits with 3. A stream that is incomplete or
// altered, and wrong use, exit with 1.
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

	"github.com/kohort-health/kohort/clients/go/kohort"
)

const failedCall = 3

// A driver makes the calls of one run.
type driver struct {
	client  *kohort.Client
	timeout time.Duration
	words   []string
}

var verbs = map[string]struct {
	call        func(*driver) (any, error)
	least, most int // arguments
}{
	"sample": {(*driver).sample, 4, 9},
	"read":   {(*driver).read, 5, 5},
	"first":  {(*driver).first, 3, 3},
	"upload": {(*driver).upload, 2, 2},
	"train":  {(*driver).train, 3, 99},
	"follow": {(*driver).follow, 2, 2},
	"cancel": {(*driver).cancel, 1, 1},
	"model":  {(*driver).model, 1, 1},
	"idle":   {(*driver).idle, 2, 2},
}

func main() {
	result, err := run(os.Args[1:])
	exit := 0
	var failed *kohort.Error
	if errors.As(err, &failed) {
		result, exit = describe(failed), failedCall
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
		return nil, errors.New("interop VERB ADDRESS ARGUMENT…")
	}
	verb, known := verbs[args[0]]
	if !known || len(args)-2 < verb.least || len(args)-2 > verb.most {
		return nil, fmt.Errorf("interop %s: no such verb, or not its arguments", args[0])
	}
	client, err := connect(args[1])
	if err != nil {
		return nil, err
	}
	defer client.Close()
	seconds := 60.0
	if text := os.Getenv("KOHORT_TIMEOUT"); text != "" {
		if seconds, err = strconv.ParseFloat(text, 64); err != nil {
			return nil, err
		}
	}
	return verb.call(&driver{client, time.Duration(seconds * float64(time.Second)), args[2:]})
}

// connect makes a client with the options of the environment.
func connect(address string) (*kohort.Client, error) {
	var options []kohort.Option
	tls := kohort.TLS{
		CAFile: os.Getenv("KOHORT_CA"), CertFile: os.Getenv("KOHORT_CERT"), KeyFile: os.Getenv("KOHORT_KEY"),
	}
	if tls != (kohort.TLS{}) {
		options = append(options, kohort.WithTLS(tls))
	}
	if token := os.Getenv("KOHORT_TOKEN"); token != "" {
		options = append(options, kohort.WithToken(token))
	}
	return kohort.NewClient(address, options...)
}

// deadline begins a call.
func (d *driver) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d.timeout)
}

// whole reads an argument.
func (d *driver) whole(i int) (int64, error) {
	return strconv.ParseInt(d.words[i], 10, 64)
}

// describe is what is printed of a failed call.
func describe(failed *kohort.Error) any {
	fields := []string{}
	for _, violation := range failed.Violations {
		fields = append(fields, violation.Field)
	}
	told := map[string]any{
		"code": code.Code(failed.Code).String(), "reason": failed.Reason, "fields": fields,
		"request_id": failed.RequestID, "hint": failed.Hint,
	}
	if failed.RetryAfter > 0 {
		told["retry_ms"] = failed.RetryAfter.Milliseconds()
	}
	return map[string]any{"error": told}
}

// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// quick are tries without noticeable waits.
var quick = kohort.WithRetry(kohort.Retry{InitialBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond})

// serve starts a fake server that ends with the test.
func serve(t testing.TB, options ...grpc.ServerOption) *fakeserver.Server {
	t.Helper()
	server := fakeserver.Start(options...)
	t.Cleanup(server.Stop)
	return server
}

// dial makes a client, with short waits unless the options say otherwise, that ends
// with the test.
func dial(t testing.TB, address string, options ...kohort.Option) *kohort.Client {
	t.Helper()
	client, err := kohort.NewClient(address, append([]kohort.Option{quick}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// within is a context that no call of a test should need to the end.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// csvFile writes a small table and gives its path.
func csvFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "patients.csv")
	if err := os.WriteFile(path, []byte("age,sex\n63,F\n70,M\n,F\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// uploaded is a dataset on the server.
func uploaded(t testing.TB, client *kohort.Client) *pb.Dataset {
	t.Helper()
	dataset, err := client.UploadFile(within(t), csvFile(t))
	if err != nil {
		t.Fatal(err)
	}
	return dataset
}

// failed is the *Error that err must be.
func failed(t testing.TB, err error) *kohort.Error {
	t.Helper()
	var found *kohort.Error
	if !errors.As(err, &found) {
		t.Fatalf("got %v (%T), want a *kohort.Error", err, err)
	}
	return found
}

// contains fails the test unless the text holds each of the words.
func contains(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not contain %q", text, word)
		}
	}
}

// noLeaks fails the test if goroutines remain that were not there before. Call it
// before anything else is started.
func noLeaks(t testing.TB) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 1000 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		stacks := make([]byte, 1<<16)
		t.Errorf("goroutines remain:\n%s", stacks[:runtime.Stack(stacks, true)])
	})
}

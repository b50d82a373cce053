// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
)

func TestOnlyWhatCannotHarmIsRepeated(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "gone")
	declined := fakeserver.Refusal{
		Code: codes.ResourceExhausted, Reason: "TOO_MANY_STREAMS", RetryAfter: 30 * time.Millisecond,
	}.Err()
	for name, c := range map[string]struct {
		errs  []error
		calls int
		want  error
	}{
		"unavailable once":     {[]error{unavailable}, 2, nil},
		"unavailable 4 times":  {slices.Repeat([]error{unavailable}, 4), 5, nil},
		"unavailable 5 times":  {slices.Repeat([]error{unavailable}, 9), 5, kohort.ErrUnavailable},
		"declined for now":     {[]error{declined, declined}, 3, nil},
		"a limit":              {[]error{fakeserver.Refusal{Code: codes.ResourceExhausted, Reason: "LIMIT_EXCEEDED"}.Err()}, 1, kohort.ErrOverloaded},
		"a defect":             {[]error{status.Error(codes.Internal, "")}, 1, kohort.ErrServer},
		"aborted":              {[]error{status.Error(codes.Aborted, "")}, 1, kohort.ErrConflict},
		"the server's timeout": {[]error{status.Error(codes.DeadlineExceeded, "")}, 1, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			server.Fail("GetCapabilities", c.errs...)
			start := time.Now()
			_, err := dial(t, server.Address).Capabilities(within(t))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			calls := server.Calls("GetCapabilities")
			if len(calls) != c.calls {
				t.Errorf("%d calls, want %d", len(calls), c.calls)
			}
			for _, call := range calls {
				if !slices.Equal(call["x-request-id"], calls[0]["x-request-id"]) || len(call["x-request-id"][0]) != 36 {
					t.Errorf("request ids %v and %v", call["x-request-id"], calls[0]["x-request-id"])
				}
			}
			if waits := time.Duration(c.calls-1) * 30 * time.Millisecond; name == "declined for now" && time.Since(start) < waits {
				t.Error("it did not wait as long as the server said")
			}
		})
	}
}

func TestAWaitPastTheDeadlineIsNotBegun(t *testing.T) {
	server := serve(t)
	server.Fail("GetCapabilities", fakeserver.Refusal{
		Code: codes.ResourceExhausted, Reason: "QUEUE_FULL", RetryAfter: time.Hour,
	}.Err())
	start := time.Now()
	_, err := dial(t, server.Address).Capabilities(within(t))
	if got := failed(t, err); got.Reason != "QUEUE_FULL" || got.RetryAfter != time.Hour || !errors.Is(err, kohort.ErrOverloaded) {
		t.Errorf("got %v", got)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestAWaitEndsWithItsContext: and when the client is closed.
func TestAWaitEndsWithItsContext(t *testing.T) {
	patient := kohort.WithRetry(kohort.Retry{InitialBackoff: time.Hour, MaxBackoff: time.Hour})
	forever := kohort.WithTimeouts(kohort.Timeouts{Call: -1})
	for name, want := range map[string]error{"cancelled": context.Canceled, "closed": kohort.ErrClosed} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			server := serve(t)
			server.Fail("GetCapabilities", status.Error(codes.Unavailable, "gone"))
			client := dial(t, server.Address, patient, forever)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error)
			go func() {
				_, err := client.Capabilities(ctx)
				done <- err
			}()
			for len(server.Calls("GetCapabilities")) == 0 {
				time.Sleep(time.Millisecond)
			}
			if name == "cancelled" {
				cancel()
			} else {
				_ = client.Close()
			}
			select {
			case err := <-done:
				if !errors.Is(err, want) || failed(t, err).Code != codes.Canceled {
					t.Errorf("got %v, want %v", err, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the call goes on")
			}
		})
	}
}

// TestTheDefaultTimeoutIsOfAllTries: the server sees what is left of it.
func TestTheDefaultTimeoutIsOfAllTries(t *testing.T) {
	var left []time.Duration
	server := serve(t, grpc.UnaryInterceptor(func(
		ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
	) (any, error) {
		deadline, has := ctx.Deadline()
		if !has {
			return nil, status.Error(codes.Internal, "no deadline")
		}
		left = append(left, time.Until(deadline))
		return handle(ctx, request)
	}))
	server.Fail("GetCapabilities", status.Error(codes.Unavailable, "gone"))
	client := dial(t, server.Address, kohort.WithTimeouts(kohort.Timeouts{Call: time.Minute}))
	if _, err := client.Capabilities(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(left) != 2 || left[0] > time.Minute || left[0] < 30*time.Second || left[1] >= left[0] {
		t.Errorf("deadlines of %v", left)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if _, err := client.Capabilities(ctx); err != nil {
		t.Fatal(err)
	}
	if left[2] < 30*time.Minute {
		t.Errorf("the deadline of the context became %v", left[2])
	}
}

func TestAClosedClient(t *testing.T) {
	noLeaks(t)
	client := dial(t, serve(t).Address)
	if _, err := client.Capabilities(within(t)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.Capabilities(within(t))
	if !errors.Is(err, kohort.ErrClosed) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	for _, err := range client.Models(within(t)) {
		if !errors.Is(err, kohort.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
}

func TestWhatEveryCallCarries(t *testing.T) {
	server := serve(t)
	var asked atomic.Int64
	client := dial(t, server.Address,
		kohort.WithTokenSource(func(context.Context) (string, error) {
			return "token-" + strings.Repeat("i", int(asked.Add(1))), nil
		}),
		kohort.WithMetadata(map[string]string{"X-Ward": "7"}),
	)
	server.Fail("GetCapabilities", status.Error(codes.Unavailable, "gone"))
	ctx := metadata.AppendToOutgoingContext(within(t), "x-request-id", "from-the-caller", "x-other", "kept")
	if _, err := client.Capabilities(ctx); err != nil {
		t.Fatal(err)
	}
	for i, call := range server.Calls("GetCapabilities") {
		for key, want := range map[string]string{
			"authorization": "Bearer token-" + strings.Repeat("i", i+1),
			"x-ward":        "7", "x-request-id": "from-the-caller", "x-other": "kept",
		} {
			if !slices.Equal(call[key], []string{want}) {
				t.Errorf("try %d: %s is %q, want %q", i+1, key, call[key], want)
			}
		}
		if agent := call["user-agent"]; len(agent) != 1 || !strings.HasPrefix(agent[0], "kohort-go/"+kohort.Version+" grpc-go/") {
			t.Errorf("user agent %q", agent)
		}
	}
}

func TestATokenSourceThatFails(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address, kohort.WithTokenSource(func(context.Context) (string, error) {
		return "", errors.New("no login")
	}))
	_, err := client.Capabilities(within(t))
	if !errors.Is(err, kohort.ErrUnauthenticated) {
		t.Errorf("got %v, want ErrUnauthenticated", err)
	}
	contains(t, err.Error(), "no login")

	garbled := dial(t, server.Address, kohort.WithToken("se\ncret"))
	_, err = garbled.Capabilities(within(t))
	if !errors.Is(err, kohort.ErrUnauthenticated) || strings.Contains(err.Error(), "cret") {
		t.Errorf("got %v, want ErrUnauthenticated without the token", err)
	}
	contains(t, err.Error(), "a character that no bearer token has")

	stuck := dial(t, server.Address, kohort.WithTokenSource(func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := stuck.Capabilities(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}
